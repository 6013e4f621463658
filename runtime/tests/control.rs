//! The control surface of a real head: what it lets in, what it keeps, and what others can read along.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "command")]

use prost::Message;
use rayline::cluster::{Client, ClientError, Control, Home, Invitation, Keys, pb};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

/// No wait for what should happen soon is longer.
const SOON: Duration = Duration::from_secs(20);

/// The folder of a daemon. What runs in it ends with it.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rayline-control-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder { path }
    }

    /// A head on free ports.
    fn head(name: &str, more: &[&str]) -> Folder {
        let folder = Folder::new(name);
        folder.start(more);
        folder
    }

    fn start(&self, more: &[&str]) {
        let start = ["start", "--head", "--listen", "127.0.0.1:0", "--cpus", "2"];
        let begin = Instant::now();
        loop {
            let output = self.run(&[&start[..], more].concat());
            if output.status.success() {
                return;
            }
            // A head that was killed a moment ago still has its lock.
            assert!(begin.elapsed() < SOON, "{}", text(&output));
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rayline"));
        command.args(arguments).env("RAYLINE_HOME", &self.path).env_remove("RAYLINE_ADDRESS");
        command.env_remove("RAYLINE_CONTROL").output().unwrap()
    }

    fn home(&self) -> Home {
        Home::at(&self.path).unwrap()
    }

    fn keys(&self) -> Keys {
        Keys::read(&self.path.join("secret")).unwrap()
    }

    fn control(&self) -> Control {
        self.home().control().unwrap()
    }

    fn client(&self) -> Client {
        Client::connect(self.control(), &self.keys(), None, SOON).unwrap()
    }

    fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.control().address)).unwrap().connect_lazy()
    }

    fn kill(&self) {
        let running: Value = serde_json::from_slice(&std::fs::read(self.path.join("daemon")).unwrap()).unwrap();
        assert!(Command::new("kill").args(["-KILL", &running["pid"].to_string()]).status().unwrap().success());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.path.join("daemon").exists() {
            let _ = self.run(&["stop"]);
        }
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn refused(output: &Output, code: i32, says: &[&str]) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for words in says {
        assert!(text.contains(words), "no `{words}` in: {text}");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON, future).await.expect("it takes too long") })
}

/// The token of these keys, made as the book says.
fn token(keys: &Keys) -> String {
    use hmac::Mac;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&keys.secret.0).unwrap();
    mac.update(b"rayline control token 1");
    mac.update(&keys.cluster.0.to_le_bytes());
    mac.finalize().into_bytes().iter().fold("Bearer ".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// Calls a method with an empty message.
async fn call(channel: &Channel, path: &str, token: Option<&str>) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.parse().unwrap());
    }
    let path: PathAndQuery = path.parse().unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    grpc.unary(request, path, codec).await.map(drop)
}

/// All methods that the head says it has, as paths.
async fn methods(channel: &Channel, token: &str) -> Vec<String> {
    let MessageResponse::ListServicesResponse(services) =
        reflect(channel, token, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list of services")
    };
    let mut paths = Vec::new();
    for service in services.service {
        let of = MessageRequest::FileContainingSymbol(service.name.clone());
        let MessageResponse::FileDescriptorResponse(files) = reflect(channel, token, of).await else {
            panic!("{} is in no file", service.name)
        };
        for file in files.file_descriptor_proto {
            let file = prost_types::FileDescriptorProto::decode(&file[..]).unwrap();
            for found in &file.service {
                if format!("{}.{}", file.package(), found.name()) == service.name {
                    paths.extend(found.method.iter().map(|method| format!("/{}/{}", service.name, method.name())));
                }
            }
        }
    }
    paths
}

async fn reflect(channel: &Channel, token: &str, what: MessageRequest) -> MessageResponse {
    let bearing = |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        Ok(request)
    };
    let mut reflection = ServerReflectionClient::with_interceptor(channel.clone(), bearing);
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(what) };
    let asked = reflection.server_reflection_info(Once(Some(request))).await.unwrap();
    let answer: ServerReflectionResponse = asked.into_inner().message().await.unwrap().unwrap();
    answer.message_response.unwrap()
}

/// A stream of one message.
struct Once(Option<ServerReflectionRequest>);

impl tonic::codegen::tokio_stream::Stream for Once {
    type Item = ServerReflectionRequest;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.take())
    }
}

#[test]
fn every_method_wants_the_token() {
    let (head, other) = (Folder::head("token", &[]), Keys::new().unwrap());
    block_on(async {
        let (channel, right, wrong) = (head.channel(), token(&head.keys()), token(&other));
        let methods = methods(&channel, &right).await;
        for service in ["Cluster/Info", "Nodes/List", "Actors/List", "Groups/List", "Jobs/Stop", "Kv/Put", "Kv/List"] {
            assert!(methods.contains(&format!("/rayline.v1.{service}")), "no {service} in {methods:?}");
        }
        for of_the_frame in
            ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]
        {
            assert!(methods.iter().any(|method| method == of_the_frame), "no {of_the_frame} in {methods:?}");
        }
        let truncated = &right[..right.len() - 1];
        for method in methods.iter().map(|method| &**method).chain(["/rayline.v1.Nodes/Nothing", "/nothing.Here/At"]) {
            for bad in [None, Some("Bearer "), Some(&*wrong), Some(truncated)] {
                let refused = call(&channel, method, bad).await.unwrap_err();
                assert_eq!(refused.code(), Code::Unauthenticated, "{method} with {bad:?}: {refused}");
            }
            // Of a stream without an end there is no answer.
            let passed = tokio::time::timeout(Duration::from_millis(500), call(&channel, method, Some(&right))).await;
            let code = passed.map(|passed| passed.map_or_else(|status| status.code(), |()| Code::Ok));
            assert_ne!(code, Ok(Code::Unauthenticated), "{method} with the token");
        }
    });
}

#[test]
fn no_acknowledged_write_is_lost_with_a_killed_head() {
    let head = Folder::head("kill", &[]);
    // Large enough that a commit takes longer than an answer: what is acknowledged too early is lost, then.
    let value = |key: &[u8]| key.repeat((512 << 10) / key.len());
    for round in 0..8 {
        let (acknowledged, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (head, acknowledged, is_over, value) = (&head, &acknowledged, &is_over, &value);
                scope.spawn(move || {
                    let client = head.client();
                    for i in 0.. {
                        let key = format!("{round}-{writer}-{i}").into_bytes();
                        let put = pb::PutRequest { value: value(&key), key: key.clone(), ..Default::default() };
                        match client.put(put) {
                            Ok(_) => acknowledged.lock().unwrap().push(key),
                            Err(_) if is_over.load(Ordering::SeqCst) => return,
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            let begin = Instant::now();
            while acknowledged.lock().unwrap().len() < 20 {
                assert!(begin.elapsed() < SOON, "too few writes");
                std::thread::sleep(Duration::from_millis(1));
            }
            is_over.store(true, Ordering::SeqCst);
            head.kill();
        });
        head.start(&[]);
        let client = head.client();
        for key in acknowledged.into_inner().unwrap() {
            let found = client.get(String::new(), key.clone()).unwrap();
            assert!(found == Some(value(&key)), "{} is lost", String::from_utf8_lossy(&key));
        }
        assert_eq!(client.info().unwrap().term, round + 2);
    }
}

#[test]
fn keys_and_values_by_command_and_by_call() {
    let head = Folder::head("kv", &[]);
    let said = |arguments: &[&str]| {
        let output = head.run(&[&["kv"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output));
        text(&output)
    };
    assert_eq!(said(&["put", "a", "one"]) + &said(&["put", "a", "two", "--namespace", "other"]), "");
    assert_eq!((said(&["get", "a"]), said(&["get", "a", "--namespace", "other"])), ("one".into(), "two".into()));
    refused(&head.run(&["kv", "put", "a", "three", "--if-absent"]), 1, &["the key has a value"]);
    assert_eq!(said(&["put", "ab", "three", "--if-absent"]) + &said(&["list", "a"]), "a\nab\n");
    said(&["delete", "a"]);
    refused(&head.run(&["kv", "get", "a"]), 1, &["the key `a` has no value"]);
    refused(&head.run(&["kv", "delete", "a"]), 1, &["no value"]);
    refused(&head.run(&["kv", "put", "", "x"]), 1, &["a key of 0 bytes"]);

    let client = head.client();
    let large = pb::PutRequest { key: b"large".to_vec(), value: vec![1; (1 << 20) + 1], ..Default::default() };
    let Err(ClientError::Refused { status, .. }) = client.put(large) else { panic!("too large a value is taken") };
    assert_eq!(status.code(), Code::InvalidArgument);

    block_on(async {
        let right = token(&head.keys());
        let bearing = |mut request: Request<()>| {
            request.metadata_mut().insert("authorization", right.parse().unwrap());
            Ok(request)
        };
        let mut kv = pb::kv_client::KvClient::with_interceptor(head.channel(), bearing);
        let namespace = || "pages".to_owned();
        for i in 0..20_u8 {
            let put = pb::PutRequest { namespace: namespace(), key: vec![0xFF, i], ..Default::default() };
            assert!(!kv.put(put).await.unwrap().into_inner().replaced);
        }
        let (mut keys, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let list = pb::ListKeysRequest { namespace: namespace(), prefix: vec![0xFF], page_size: 7, page_token };
            let page = kv.list(list).await.unwrap().into_inner();
            keys.extend(page.keys);
            pages += 1;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!((keys, pages), ((0..20).map(|i| vec![0xFF, i]).collect::<Vec<_>>(), 3));
        let list = pb::ListKeysRequest { page_token: "no token".into(), ..Default::default() };
        assert_eq!(kv.list(list).await.unwrap_err().code(), Code::InvalidArgument);
    });
}

#[test]
fn what_the_ledger_can_not_be_is_refused_with_what_to_do() {
    let head = Folder::head("ledger", &[]);
    assert!(head.run(&["stop"]).status.success());
    let (ledger, start) = (head.path.join("ledger"), ["start", "--head", "--listen", "127.0.0.1:0"]);
    std::fs::set_permissions(&ledger, PermissionsExt::from_mode(0o644)).unwrap();
    refused(&head.run(&start), 1, &["mode 644", "chmod 600"]);
    std::fs::set_permissions(&ledger, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(head.path.join("secret"), head.path.join("elsewhere")).unwrap();
    refused(&head.run(&start), 1, &["is of cluster", "put together"]);
    std::fs::rename(head.path.join("elsewhere"), head.path.join("secret")).unwrap();
    std::fs::write(&ledger, "no ledger at all").unwrap();
    refused(&head.run(&start), 1, &["is damaged", "move it away"]);
    std::fs::remove_file(&ledger).unwrap();
    head.start(&[]);
}

#[test]
fn an_encrypted_head_is_known_by_its_authority() {
    let (head, other) = (Folder::head("tls", &["--encrypt"]), Folder::head("tls-other", &["--encrypt"]));
    let status = head.run(&["status"]);
    assert!(status.status.success(), "{}", text(&status));
    let token_file = head.path.join("token");
    for private in [&token_file, &head.path.join("ca.key"), &head.path.join("ledger")] {
        assert_eq!(std::fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600, "{private:?}");
    }

    let (node, token) = (Folder::new("tls-node"), token_file.display().to_string());
    let joined = node.run(&["start", "--token", &token, "--cpus", "1"]);
    assert!(joined.status.success(), "{}", text(&joined));
    let seen = node.run(&["list", "nodes"]);
    assert!(seen.status.success() && text(&seen).contains("n2"), "{}", text(&seen));
    let elsewhere = Folder::new("tls-elsewhere");
    let seen = elsewhere.run(&["list", "nodes", "--secret-file", &token]);
    assert!(seen.status.success() && text(&seen).contains("n2"), "{}", text(&seen));

    // The token of a head whose authority is another's, at our head's address.
    let keys = Keys::read(&token_file).unwrap();
    let invitation = keys.invitation.unwrap();
    let theirs = Keys::read(&other.path.join("token")).unwrap().invitation.unwrap();
    let mistaken = Keys { invitation: Some(Invitation { ca: theirs.ca, ..invitation }), ..keys.clone() };
    let connect = |keys: &Keys| Client::connect(head.control(), keys, None, SOON).and_then(|client| client.nodes());
    let error = connect(&mistaken).unwrap_err().to_string();
    assert!(error.contains("is not the head that the token is of"), "{error}");
    // A secret that is another cluster's yields no certificate that this head takes.
    let stranger = Keys { invitation: Some(invitation), ..Keys::new().unwrap() };
    let refused = connect(&stranger);
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");
    // Who has no token doesn't know the head, and sends it nothing.
    assert!(matches!(connect(&head.keys()), Err(ClientError::Unknown { .. })));
    assert_eq!(connect(&keys).unwrap().len(), 2);
}

#[test]
fn without_a_certificate_no_call_is_heard() {
    let head = Folder::head("mutual", &["--encrypt"]);
    let (address, right) = (head.control().address, token(&head.keys()));
    let ca = Certificate::from_pem(std::fs::read_to_string(head.path.join("ca.pem")).unwrap());
    block_on(async {
        let trusting = ClientTlsConfig::new().domain_name("head.rayline").ca_certificate(ca);
        let tls = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(trusting).unwrap();
        let plain = Endpoint::from_shared(format!("http://{address}")).unwrap();
        for endpoint in [tls, plain] {
            let Ok(channel) = endpoint.connect().await else { continue };
            let mut nodes = pb::nodes_client::NodesClient::with_interceptor(channel, |mut request: Request<()>| {
                request.metadata_mut().insert("authorization", right.parse().unwrap());
                Ok(request)
            });
            assert!(nodes.list(pb::ListNodesRequest::default()).await.is_err(), "it is answered without a certificate");
        }
    });
}

#[test]
fn where_others_can_reach_a_head_is_said_exactly() {
    let folder = Folder::new("exact");
    let anywhere = ["start", "--head", "--trust-network", "--listen", "0.0.0.0:0"];
    refused(&folder.run(&anywhere), 2, &["name the address"]);
    refused(&folder.run(&["start", "--address", "127.0.0.1:1", "--encrypt"]), 2, &["cannot be used with"]);
    let secret = Folder::head("exact-head", &[]);
    let file = secret.path.join("secret").display().to_string();
    refused(&folder.run(&["start", "--token", &file]), 2, &["--address"]);
    refused(
        &folder.run(&["status", "--secret-file", &file, "--control", "192.0.2.1:1"]),
        1,
        &["is not on this machine", "`token`"],
    );
}
