//! The one authentication of the control surface: every call, of every service, bears a token that only who knows the
//! cluster's secret can make. Health and reflection are no exceptions: whoever probes a cluster belongs to it.

use crate::cluster::secret::Keys;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// The key of the metadata that bears it.
const KEY: &str = "authorization";

/// Lets calls pass that bear the token.
#[derive(Clone)]
pub(super) struct Guard(MetadataValue<Ascii>);

/// Lets calls bear the token.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Guard {
    pub fn new(keys: &Keys) -> Guard {
        Guard(token(keys))
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let theirs = request.metadata().get(KEY);
        let is_right = theirs.is_some_and(|theirs| theirs.as_bytes().ct_eq(self.0.as_bytes()).into());
        if is_right {
            Ok(request)
        } else {
            Err(Status::unauthenticated("the call does not bear this cluster's token: use its secret file"))
        }
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(KEY, self.0.clone());
        Ok(request)
    }
}

/// What lets the calls of a client bear the token.
pub(crate) fn bearer(keys: &Keys) -> Bearer {
    Bearer(token(keys))
}

/// A key of its own for each purpose: who sees one learns nothing of the secret or of the others.
pub(super) fn derive(keys: &Keys, purpose: &str) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&keys.secret.0).expect("HMAC takes keys of any length");
    mac.update(purpose.as_bytes());
    mac.update(&keys.cluster.0.to_le_bytes());
    mac.finalize().into_bytes().into()
}

fn token(keys: &Keys) -> MetadataValue<Ascii> {
    let digits: String = derive(keys, "rayline control token 1").iter().map(|byte| format!("{byte:02x}")).collect();
    let mut value = MetadataValue::try_from(format!("Bearer {digits}")).expect("hexadecimal digits");
    // Nothing shows it: neither logs, nor tables that compress headers.
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_clusters_own_token_passes() {
        let (ours, theirs) = (Keys::new().unwrap(), Keys::new().unwrap());
        let mut guard = Guard::new(&ours);
        let mut call = |keys: &Keys| guard.call(bearer(keys).call(Request::new(())).unwrap());
        assert!(call(&ours).is_ok());
        assert_eq!(call(&theirs).unwrap_err().code(), tonic::Code::Unauthenticated);
        assert!(guard.call(Request::new(())).is_err());
        for wrong in ["", "Bearer ", "Bearer 00"] {
            let mut request = Request::new(());
            request.metadata_mut().insert(KEY, wrong.parse().unwrap());
            assert!(guard.call(request).is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", token(&ours)).contains("Bearer"), "a log shows it");
    }

    #[test]
    fn keys_of_two_purposes_or_clusters_differ() {
        let keys = Keys::new().unwrap();
        let other = Keys { cluster: rayline_transport::tcp::ClusterId(keys.cluster.0 ^ 1), ..keys.clone() };
        assert_ne!(derive(&keys, "a"), derive(&keys, "b"));
        assert_ne!(derive(&keys, "a"), derive(&other, "a"));
        assert_ne!(derive(&keys, "a"), keys.secret.0);
    }
}
