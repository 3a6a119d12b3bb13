//! What other code of a program has in the algorithms that are put in for the whole of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::verify;
use jsonwebtoken::{Algorithm, DecodingKey};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::jwt::cases;
use super::*;

const MESSAGE: &[u8] = b"what is signed";

/// The public key of RSA whose other half is gone, and what that has signed.
const RSA: &str = "MIIBCgKCAQEAsrM8G0CcsZhVTBav1kRcbwmoP633T_OP4cAUQprH1FV0W1fFfa_-p5qkuCWEgb0h8MKs\
    Z_x4CCVMnKGPocD0qB2_vJADQJ7OV3-E_U5QvaxhEi9aYgPkbvBvUUWX_d5g8h9pTbU0OhS2rqhLNER6lpGR54pvnJTdQp7\
    j47CL0j7XoeGLvNdQQFQmyFYA9i9MgswKSBFBpaTNFRAmlloSrhVJzEci3jZDuWQj8OxTkDYKb7lQ0g7_Gfi-KUEWtcK3fC\
    It1xLDRNPzoqSLkdOcpZqYgj99F1EPR4-u-6UbztFFN9UceUPBsW2PcYFL73f_3QM8YnzyAZLbg5hOfLsTGwIDAQAB";
const SIGNED: [(Algorithm, &str); 6] = [
    (
        Algorithm::RS256,
        "YcMykVxvBNt4Sb5cR9tWEzl3bqfxsnm10839nHsv1x47tTtHjAyO_S-z7qxnWJbRfjNm5xhNmDxO_9gbiEgLRd6UF0\
         V1K0O0MD5sZBRwaU4yADoYs-GLok9OuCamR7gQ3PULxBwjwmHJgEwYIC0YhwQN28lyV84B7t-4QmMOcU01_ios-66t\
         2k1lMmS4j-p7BK_OSxX-LEqcZoaeIqjjxMhzdY1plUvhiz6RJKWE7GNH2cy31Np0gYLgABARXc6vfwmulzQEO5fsGZ\
         gYo5NHYHSW06JlDqUflks8wsQR5xtliTZTPrHHgXYaRigEroFXCi_N0AqZWPPk26olFK9P4w",
    ),
    (
        Algorithm::RS384,
        "eWMmVn2IIEt-FDBOMGVozPQl_8SUjekIJbpHa9y2ZBZ3YeaVibHrmpDJEsGTWTtJd8OHEBwUvzPYjfqw9_DIH4Yw5_\
         9D9oDGcuWSjcWF-TMDCmjNEW_Ja0BdxnGvsG42-31s5lUCbP1LWydu5iAvbjka8aqoCAxBByW_zjleaRPBf4yO-vrL\
         CIbRJLF61l_Z8rg0GP1BTzieRQ7hgWhE-d4HDBejLMHcbU8MtdEklEh9kTP_Yy3zoiqLjxQIhdNFH0WanWcDLQNz8t\
         Pkb5ooM-yWglJORDHJi04yvrrgP-gESQtZeVMe_JyeXhohofrZjXjrIzddZne1CSIaj3BHRQ",
    ),
    (
        Algorithm::RS512,
        "EZRKlbDJnG8SNwwlBNs9fBDtuvAdnsjtAJQ192DJuddvlJtBVVLIlHig4CvyDjY21twlpDx1fDUZO4UEI8UARuXvql\
         PKuzX8u_GZsWNGj0aSjYxaX3neDZuHEHxiNwi5G7KoSWXVEA6PEQhFj-QLJBekqpjGTYzAVhHcLAXq9PZa36oVVXzL\
         awD-uXLZiMt6-WQDc8ZoGZfhyIyL43tmdfBqNvMAan8AxSaelK_yEeROBxlBdGuuIdI1wfzFLoysNTc5Ef5NjUm-KK\
         JaSs2pmQ90h4z-N0VCY5BrTIIihBl7Y0Eryt_nDFRI7bOKcyqVkukSE-0A7CMuwlP3pVUieg",
    ),
    (
        Algorithm::PS256,
        "i5mw4K_sulb9RsaVoaoRlXYRNRgrn6dFP7Mrkof33xtta7gwc4z7uPvq4ai3-yTBN_PqkOuRijJb6Gzl7381YhjSkT\
         BD92Svt5RvppV3MadJLJCevTeCC5OjU1w7hkWewvHpYF2NWgS6XPJVM08H2M60x62TLonlQdGCXLhE8kCUoKqfwbjv\
         W6lZ-SZi0Nn4uor76zDDGSOFvRzk-ChoeKqHXNZZDjiVnGd6l3TvevgTSwLkN_-UFivATBFLw1QELtITyaM1Rke5i_\
         RGttrVMviKzpEvwCUGEIKbQiLlI_TWGuiwKzpVwWtsi4fF1rCqbjGEyuLUAiCQkEsC9Ci74Q",
    ),
    (
        Algorithm::PS384,
        "PZSJe5dzTVoLCg23tB0mfkVX_AJPl12hE2uEz5EozbJ4m122DFjjMcxrlWWNvIGO2EGEK9Z6kxR5Sqw-ZwV_WhqW5c\
         uE528MDglA-O_QknjSbt73KIwExygE2lBySarnKVrBTu0zzmrSnlIBKxWRkJzwrtIrR4MrWGbJV45RHeVt4DHVztVg\
         RK1MUDT8e6pWXwgJfWkQHpnsijIwRaHud2bsS_eZPovy_gB-o6Xk46PUNNOY7qwrrcqHOL75l1dnuuOX3hfhKvAFG5\
         VRpGXECSlEEW8wBVlCEUMw9wTSdCZ3kWkY4NU7MvWsiwTxs2685pPGpbbkIj8zvaZ-kBhOmw",
    ),
    (
        Algorithm::PS512,
        "hfVSFuwYY4Sm3JkwfJO_Pez9l1k6_zfGSUhbWl2pvHf-dMuZjTLoFbl54gY9hjt7DdWt2Vmczs7pFErazsHAhORNmw\
         FAVH5WTjzznpoM977FUyq_k3e4vVM13I5u1aBP4MO5KgSmz5bwVegclayKA3aTC-KdDcYhkERVLXxviODwa4MiENmx\
         WMikcZgJ9Dpy1Ws7RoF6-9Oopp86heT0WpU8lUgp842gLRVikwdbh-V5Gi20iJD-jwvZ67lFc32CPGZnQVA97Dvr5t\
         TBOGqoc1-wMawuMxiAqCQXNRR92FkEVNtu54UpTiuu1LZDEqixdr0DBpwquxwR_25IY9e2Aw",
    ),
];

fn is_good(algorithm: Algorithm, key: &DecodingKey, message: &[u8], signature: &str) -> bool {
    verify(signature, message, key, algorithm).unwrap()
}

#[test]
fn every_algorithm_of_a_jwt_is_there() {
    // Puts them in.
    Jwt::new(cases().0, "desk", "calculator").unwrap();
    let random = SystemRandom::new();
    let scheme = &ECDSA_P384_SHA384_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
    let p384 = EcdsaKeyPair::from_pkcs8(scheme, pkcs8.as_ref(), &random).unwrap();
    let signature = p384.sign(&random, MESSAGE).unwrap();
    let signature = URL_SAFE_NO_PAD.encode(signature);
    let key = DecodingKey::from_ec_der(p384.public_key().as_ref());
    assert!(is_good(Algorithm::ES384, &key, MESSAGE, &signature));
    assert!(!is_good(Algorithm::ES384, &key, b"other", &signature));

    let secret = [7; 64];
    let key = DecodingKey::from_secret(&secret);
    for (algorithm, hash) in [
        (Algorithm::HS256, hmac::HMAC_SHA256),
        (Algorithm::HS384, hmac::HMAC_SHA384),
        (Algorithm::HS512, hmac::HMAC_SHA512),
    ] {
        let signature = hmac::sign(&hmac::Key::new(hash, &secret), MESSAGE);
        let signature = URL_SAFE_NO_PAD.encode(signature);
        assert!(
            is_good(algorithm, &key, MESSAGE, &signature),
            "{algorithm:?}"
        );
        assert!(!is_good(algorithm, &key, b"other", &signature));
    }

    let key = DecodingKey::from_rsa_der(&URL_SAFE_NO_PAD.decode(RSA).unwrap());
    for (algorithm, signature) in SIGNED {
        assert!(
            is_good(algorithm, &key, MESSAGE, signature),
            "{algorithm:?}"
        );
        assert!(!is_good(algorithm, &key, b"other", signature));
    }
}
