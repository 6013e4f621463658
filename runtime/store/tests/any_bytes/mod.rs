//! What must hold for bytes of any origin. For the smoke test and the fuzz target.

use crate::model::Node;
use rayline_store::{CodecError, Region, decode, decode_copied, encode};

/// Decodes `region`, which may hold anything, as views and as copies, and encodes what comes out.
pub fn check(region: &Region) -> Result<(), CodecError> {
    let copied = decode_copied::<Node>(region);
    let node = match decode::<Node>(region) {
        Ok(node) => node,
        Err(error) => {
            assert_eq!(copied, Err(error.clone()));
            return Err(error);
        }
    };
    node.assert_views_of(region);
    let again = encode(&node).expect("what was decoded is no deeper than what may be encoded");
    let same = decode::<Node>(&again).expect("what was encoded can be decoded");
    let is_comparable = node == node.clone();
    if is_comparable {
        assert_eq!(same, node);
        assert_eq!(copied, Ok(node));
    }
    Ok(())
}
