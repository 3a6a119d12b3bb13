//! Every token that isn't good, and why.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use super::*;
use crate::credentials::jwt::reason;

/// A token for Ann until the year 2100, signed with a key of RSA that is gone, and its public key.
const RS256: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJkZXNrIiwiYXVkIjoiY2FsY3VsYXR\
    vciIsInN1YiI6ImFubiIsImV4cCI6NDEwMjQ0NDgwMH0.XbQ3LAElUwLGN9tLavDXb4R3xckFFwEk2BWLYGoPMIc33e4t\
    UCZAeA4QrS8GAPDur_DqLbvoK61ShOkDXmZyXcI5IIASdgrK8z6tCR4ZgMTIQ_yXZQejnI96I-DlIOYCZeY9QydIFuyjG\
    rD1AGZamWfCs7ohnrcgTjedO5xqxvLP9iPH-Ts5xfKRhYT532qjKoXQDriJbVJoL2aa3z0c3hPNApt2FHWgXwHtsx4X4B\
    -ED7RtwxBHVNqHbxuVNJ0eEh6eudL33QxDbO2M7AmBb_DI2W-O_83WC4TZEVwV_D2oSCL4Zxirp6HBAu33Ef6qr1quAnh\
    iumBJHYrK1dJ3FA";
const RS256_KEY: &str = "MIIBCgKCAQEAyft_hjXWTzPTJlsgaerNbivObXitoqnwENteIrLpnafDKm0dhmAb7qQetPBb\
    yBEOUxzqym3LRfong3Uq0EWa7pfElRHK8CgtkCv8O0IHCunQ3FY_CC-wmlEvZ7NQj9r_WmStxUKg4FceYDUAYUNS8LS22\
    71X-9ko32E2vhudA3Mvs1l5e0dZlNYLh8k9YwuwWIb5jULO51eB9iv-1G2RpJ0onrpfRI9pITjkYanBosey4YWy79aD5g\
    EaJHZuPPCvM8z9M-hJMmfsJ5IrEAceOgdNBoxYcn5G_e38DdT3LHeG0KVVNVf7NDkAIrt7-UTQY34TGJi1kTmcDab4zf1\
    siQIDAQAB";

pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// A token with this header and these claims, signed by `sign`.
pub(super) fn token(header: Value, claims: Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> Token {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (header.to_string(), claims.to_string());
    let message = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.as_bytes())
    );
    let signature = encode(&sign(message.as_bytes()));
    Token::new(format!("{message}.{signature}"))
}

pub(super) fn ed25519() -> Ed25519KeyPair {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()
}

fn good() -> Value {
    json!({ "iss": "desk", "aud": "calculator", "sub": "ann", "exp": now() + 300 })
}

/// Claims that differ from good ones in one: without it if the value is null.
fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    if claims[name].is_null() {
        claims.as_object_mut().unwrap().remove(name);
    }
    claims
}

/// What is checked, and what comes of it.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) token: Token,
    pub(super) reason: &'static str,
}

/// Each way in which a token may be no good, for the key that is returned.
pub(super) fn cases() -> (JwtKey, Token, Vec<Case>) {
    let (key, other) = (ed25519(), ed25519());
    let public = key.public_key().as_ref().to_vec();
    let header = json!({ "alg": "EdDSA", "typ": "JWT" });
    let sign = |message: &[u8]| key.sign(message).as_ref().to_vec();
    let signed = |claims| token(header.clone(), claims, sign);
    let mut cases = Vec::new();
    let mut add = |what, token, reason| {
        cases.push(Case {
            what,
            token,
            reason,
        })
    };

    let by_other = token(header.clone(), good(), |it| {
        other.sign(it).as_ref().to_vec()
    });
    add("another key", by_other, "a token with a wrong signature");
    let mut changed = signed(good()).as_str().to_owned();
    changed.replace_range(
        40..41,
        if changed[40..].starts_with('A') {
            "B"
        } else {
            "A"
        },
    );
    add("changed claims", Token::new(changed), "");
    let unsigned = signed(good())
        .as_str()
        .rsplit_once('.')
        .unwrap()
        .0
        .to_owned();
    add(
        "an empty signature",
        Token::new(unsigned + "."),
        "a token with a wrong signature",
    );

    let none = token(json!({ "alg": "none" }), good(), |_| Vec::new());
    add("alg: none", none, "a token that can't be read");
    let none = token(json!({ "alg": "None" }), good(), |_| Vec::new());
    add("alg: None", none, "a token that can't be read");
    // The classic: what everybody may know, taken for a secret.
    let secret = hmac::Key::new(hmac::HMAC_SHA256, &public);
    let hs256 = token(json!({ "alg": "HS256" }), good(), |it| {
        hmac::sign(&secret, it).as_ref().to_vec()
    });
    add(
        "HMAC with the public key",
        hs256,
        "a token with another algorithm than expected",
    );
    add(
        "RSA",
        Token::new(RS256),
        "a token with another algorithm than expected",
    );
    let es256 = token(json!({ "alg": "ES256" }), good(), sign);
    add(
        "ES256 in name only",
        es256,
        "a token with another algorithm than expected",
    );

    let expired = "a token that has expired";
    add("expired", signed(with("exp", json!(now() - 3600))), expired);
    add("expired long ago", signed(with("exp", json!(0))), expired);
    let early = "a token that isn't valid yet";
    add(
        "not yet valid",
        signed(with("nbf", json!(now() + 3600))),
        early,
    );
    add(
        "no end",
        signed(with("exp", json!(null))),
        "a token without an end",
    );
    add(
        "an end in words",
        signed(with("exp", json!("soon"))),
        "a token without an end",
    );
    add(
        "an end before time",
        signed(with("exp", json!(-1))),
        "a token without an end",
    );

    let audience = "a token for another audience";
    add(
        "another audience",
        signed(with("aud", json!("greeter"))),
        audience,
    );
    add(
        "other audiences",
        signed(with("aud", json!(["a", "b"]))),
        audience,
    );
    let without = "a token without an audience";
    add("no audience", signed(with("aud", json!(null))), without);
    let issuer = "a token of another issuer";
    add("another issuer", signed(with("iss", json!("Desk"))), issuer);
    add(
        "no issuer",
        signed(with("iss", json!(null))),
        "a token without an issuer",
    );
    let subject = "a token without a subject";
    add("no subject", signed(with("sub", json!(null))), subject);
    add("an empty subject", signed(with("sub", json!(""))), subject);
    add(
        "a number for a subject",
        signed(with("sub", json!(7))),
        subject,
    );

    let unread = "a token that can't be read";
    let critical = json!({ "alg": "EdDSA", "crit": ["exp"] });
    add("a demand", token(critical, good(), sign), unread);
    add("claims that are a list", signed(json!(["ann"])), unread);
    let valid = signed(good());
    for (what, garbage) in [
        ("garbage", "garbage".to_owned()),
        ("two parts", "a.b".to_owned()),
        ("three parts of nothing", "..".to_owned()),
        ("four parts", format!("{}.more", valid.as_str())),
        ("not base64", "%.%.%".to_owned()),
        ("padded base64", format!("{}=", valid.as_str())),
    ] {
        add(what, Token::new(garbage), "");
    }
    (JwtKey::Ed25519(public), valid, cases)
}

#[test]
fn every_token_that_is_not_good_is_refused_for_its_reason() {
    let (key, valid, cases) = cases();
    let jwt = Jwt::new(key, "desk", "calculator").unwrap();
    assert_eq!(jwt.check(&valid).unwrap().subject(), "ann");
    for Case {
        what,
        token,
        reason,
    } in cases
    {
        let refusal = jwt.check(&token).expect_err(what);
        assert!(refusal.reason().contains(reason), "{what}: {refusal:?}");
        assert!(!refusal.reason().contains(token.as_str()), "{what}");
        assert_eq!(refusal.status().message(), UNAUTHENTICATED, "{what}");
    }
}

#[test]
fn the_megabyte_is_refused_too() {
    let jwt = Jwt::new(cases().0, "desk", "calculator").unwrap();
    let mut long = "a".repeat(1024 * 1024);
    assert!(jwt.check(&Token::new(long.clone())).is_err());
    long.insert_str(9, ".a.");
    assert!(jwt.check(&Token::new(long)).is_err());
}

#[test]
fn good_claims_can_be_read() {
    let key = ed25519();
    let public = key.public_key().as_ref().to_vec();
    let jwt = Jwt::new(JwtKey::Ed25519(public), "desk", "calculator").unwrap();
    let mut claims = with("aud", json!(["greeter", "calculator"]));
    claims["scope"] = json!("roots");
    claims["nbf"] = json!(now() - 1);
    let header = json!({ "alg": "EdDSA", "kid": "1" });
    let token = token(header, claims.clone(), |it| key.sign(it).as_ref().to_vec());
    let claimed = jwt.check(&token).unwrap();
    assert_eq!(claimed.subject(), "ann");
    assert_eq!(claimed.get("scope"), Some(&json!("roots")));
    assert_eq!(claimed.get("nothing"), None);
    let end = claims["exp"].as_u64().unwrap();
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(end) + LEEWAY;
    assert_eq!(claimed.expires(), Some(end));
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    let key = ed25519();
    let public = key.public_key().as_ref().to_vec();
    let jwt = Jwt::new(JwtKey::Ed25519(public), "desk", "calculator").unwrap();
    let check = |jwt: &Jwt, claims| {
        let header = json!({ "alg": "EdDSA" });
        jwt.check(&token(header, claims, |it| key.sign(it).as_ref().to_vec()))
    };
    for (jwt, leeway) in [
        (jwt.clone(), 60),
        (jwt.clone().leeway(Duration::ZERO), 0),
        (jwt.leeway(Duration::MAX), 24 * 3600),
    ] {
        // A few seconds for a slow machine.
        let (inside, outside) = (now() + 10 - leeway, now() - 10 - leeway);
        assert!(check(&jwt, with("exp", json!(inside))).is_ok(), "{leeway}");
        assert!(
            check(&jwt, with("exp", json!(outside))).is_err(),
            "{leeway}"
        );
        let (inside, outside) = (now() + leeway, now() + 20 + leeway);
        assert!(check(&jwt, with("nbf", json!(inside))).is_ok(), "{leeway}");
        assert!(
            check(&jwt, with("nbf", json!(outside))).is_err(),
            "{leeway}"
        );
    }
}

#[test]
fn a_token_with_an_end_beyond_the_clock_never_ends() {
    let key = ed25519();
    let public = key.public_key().as_ref().to_vec();
    let jwt = Jwt::new(JwtKey::Ed25519(public), "desk", "calculator").unwrap();
    let claims = with("exp", json!(u64::MAX));
    let header = json!({ "alg": "EdDSA" });
    let token = token(header, claims, |it| key.sign(it).as_ref().to_vec());
    assert_eq!(jwt.check(&token).unwrap().expires(), None);
}

#[test]
fn each_kind_of_key_checks_its_own_signatures() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
    let p256 = p256.unwrap();
    let secret = hmac::Key::new(hmac::HMAC_SHA256, b"a secret of thirty-two bytes....");
    let es256 = token(json!({ "alg": "ES256" }), good(), |it| {
        p256.sign(&random, it).unwrap().as_ref().to_vec()
    });
    let hs256 = token(json!({ "alg": "HS256" }), good(), |it| {
        hmac::sign(&secret, it).as_ref().to_vec()
    });
    let p256 = p256.public_key().as_ref().to_vec();
    let secret = b"a secret of thirty-two bytes....".to_vec();
    let rsa = URL_SAFE_NO_PAD.decode(RS256_KEY).unwrap();
    for (key, token) in [
        (JwtKey::Es256(p256), es256),
        (JwtKey::Hs256(secret), hs256),
        (JwtKey::Rs256(rsa), Token::new(RS256)),
    ] {
        let jwt = Jwt::new(key, "desk", "calculator").unwrap();
        assert_eq!(jwt.check(&token).unwrap().subject(), "ann");
        let (message, signature) = token.as_str().rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        let forged = format!("{message}.{other}{}", &signature[1..]);
        let refusal = jwt.check(&Token::new(forged)).unwrap_err();
        assert_eq!(refusal.reason(), "a token with a wrong signature");
    }
    // The form of a point, on no curve.
    let nowhere = JwtKey::Es256([&[4][..], &[255; 64]].concat());
    let jwt = Jwt::new(nowhere, "desk", "calculator").unwrap();
    let es256 = token(json!({ "alg": "ES256" }), good(), |_| vec![1; 64]);
    assert!(jwt.check(&es256).is_err(), "a key that can't be used");
}

/// Not at the first call, and above all not by letting in whoever signs with nothing.
#[test]
fn what_can_not_be_a_key_is_refused_at_once() {
    let rsa = URL_SAFE_NO_PAD.decode(RS256_KEY).unwrap();
    // With the frame that other libraries want around it (SPKI).
    let framed = [&[0x30, 0x82, 1, 0x22, 0x30, 0x0d][..], &rsa].concat();
    let (secret, ed25519) = ("a secret for HS256", "a key for EdDSA");
    let (es256, rs256) = ("a key for ES256", "a key for RS256");
    for (key, begin) in [
        (JwtKey::Hs256(Vec::new()), secret),
        (JwtKey::Hs256(vec![1; 31]), secret),
        (JwtKey::Ed25519(Vec::new()), ed25519),
        (JwtKey::Ed25519(vec![1; 31]), ed25519),
        (JwtKey::Ed25519(vec![1; 33]), ed25519),
        (JwtKey::Es256(Vec::new()), es256),
        (JwtKey::Es256(vec![4; 64]), es256),
        (JwtKey::Es256(vec![2; 65]), es256),
        (JwtKey::Rs256(Vec::new()), rs256),
        (JwtKey::Rs256(framed), rs256),
        // No more than 2048 bits with their frame, so fewer bits.
        (JwtKey::Rs256(rsa[..256].to_vec()), rs256),
    ] {
        let error = Jwt::new(key, "desk", "calculator").unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(&format!("{begin} has to ")), "{error}");
    }
}

/// Which other cryptography than this module's may find out only then.
#[test]
fn a_key_that_turns_out_to_be_none_is_not_blamed_on_the_token() {
    for error in [
        ErrorKind::InvalidEddsaKey,
        ErrorKind::InvalidEcdsaKey,
        ErrorKind::InvalidRsaKey(String::new()),
        ErrorKind::InvalidKeyFormat,
    ] {
        assert_eq!(reason(&error), "the key that checks tokens can't be used");
    }
}

#[test]
fn an_issuer_makes_tokens_that_are_good() {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let public = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = public.public_key().as_ref().to_vec();
    let jwt = Jwt::new(JwtKey::Ed25519(public), "desk", "calculator").unwrap();
    let issuer = JwtIssuer::new(pkcs8.as_ref(), "desk");
    let five_minutes = Duration::from_secs(300);
    let token = issuer.issue("bob", "calculator", five_minutes).unwrap();
    let claims = jwt.check(&token).unwrap();
    assert_eq!(claims.subject(), "bob");
    let left = claims.expires().unwrap().duration_since(SystemTime::now());
    let left = left.unwrap();
    assert!(
        left > five_minutes && left <= five_minutes + LEEWAY,
        "{left:?}"
    );
    let long = issuer.issue("bob", "calculator", Duration::MAX).unwrap();
    assert!(jwt.check(&long).is_ok());
    let token = issuer.issue("bob", "greeter", five_minutes).unwrap();
    assert!(jwt.check(&token).is_err());

    let broken = JwtIssuer::new(b"no key", "desk");
    let error = broken.issue("bob", "calculator", five_minutes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the key that signs tokens isn't an Ed25519 key as PKCS#8"
    );
}

#[test]
fn no_debug_output_shows_a_key_or_a_token() {
    let (key, valid, _) = cases();
    let jwt = Jwt::new(key, "desk", "calculator").unwrap();
    assert!(format!("{jwt:?}").starts_with("Jwt { validation: "));
    let issuer = JwtIssuer::new(b"a private key", "desk");
    assert_eq!(format!("{issuer:?}"), r#"JwtIssuer { issuer: "desk", .. }"#);
    let length = valid.as_str().len();
    assert_eq!(format!("{valid:?}"), format!("Token({length} bytes)"));
}
