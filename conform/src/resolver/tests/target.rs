//! What is read from a target's text.

use super::*;

fn parts(target: &Target) -> (&str, &str, &str) {
    (target.scheme(), target.authority(), target.path())
}

/// What [`str::parse`] makes of it.
fn parsed(text: &str) -> Target {
    text.parse().unwrap()
}

#[test]
fn a_target_is_a_uri_or_a_host() {
    let rows = [
        // naming.md, "Name Syntax": `dns:[//authority/]host[:port]`.
        ("dns:host", ("dns", "", "host")),
        ("dns:host:50051", ("dns", "", "host:50051")),
        ("dns:///host:50051", ("dns", "", "/host:50051")),
        (
            "dns://10.0.0.2:53/host:50051",
            ("dns", "10.0.0.2:53", "/host:50051"),
        ),
        ("DNS:host", ("dns", "", "host")),
        // "If no scheme prefix is specified or the scheme is unknown, the dns scheme is used".
        ("host", ("dns", "", "/host")),
        ("localhost:50051", ("dns", "", "/localhost:50051")),
        ("127.0.0.1:50051", ("dns", "", "/127.0.0.1:50051")),
        ("[::1]:50051", ("dns", "", "/[::1]:50051")),
        ("fe80::1", ("dns", "", "/fe80::1")),
        ("my-host:1", ("dns", "", "/my-host:1")),
        (":50051", ("dns", "", "/:50051")),
        ("//host/x", ("dns", "", "///host/x")),
        // "`unix:path`, `unix://absolute_path`".
        ("unix:a/b", ("unix", "", "a/b")),
        ("unix:/a/b", ("unix", "", "/a/b")),
        ("unix:///a/b", ("unix", "", "/a/b")),
        ("unix-abstract:a", ("unix-abstract", "", "a")),
        (
            "ipv4:1.2.3.4:5,6.7.8.9:10",
            ("ipv4", "", "1.2.3.4:5,6.7.8.9:10"),
        ),
        ("ipv6:[::1]:5", ("ipv6", "", "[::1]:5")),
        // A scheme of one's own: by `//`, as nothing that DNS knows has it.
        ("lesson:///greeter", ("lesson", "", "/greeter")),
        ("x+y-z.1://a/greeter/1", ("x+y-z.1", "a", "/greeter/1")),
        ("1x://a/b", ("dns", "", "/1x://a/b")),
        ("x_y:///a", ("dns", "", "/x_y:///a")),
    ];
    for (text, expected) in rows {
        assert_eq!(parts(&parsed(text)), expected, "{text}");
    }
}

#[test]
fn schemes_of_ones_own_need_no_slashes_where_they_are_known() {
    let schemes = Schemes::new().with(Manual::new("Lesson"));
    let own = schemes.target("lesson:greeter").unwrap();
    assert_eq!(parts(&own), ("lesson", "", "greeter"));
    assert_eq!(
        parts(&parsed("lesson:greeter")),
        ("dns", "", "/lesson:greeter")
    );
}

#[test]
fn the_endpoint_is_the_path_without_its_slash() {
    for (text, expected) in [
        ("dns:///host:1", "host:1"),
        ("dns:host:1", "host:1"),
        ("host:1", "host:1"),
        ("x:////a", "/a"),
    ] {
        assert_eq!(parsed(text).endpoint(), expected, "{text}");
    }
}

#[test]
fn escapes_are_resolved() {
    assert_eq!(parsed("unix:/a%20b%2fc%3F%23%25").path(), "/a b/c?#%");
    assert_eq!(parsed("unix:/%C3%A4").path(), "/ä");
    assert_eq!(parsed("x://a%2Fb/c").authority(), "a/b");
    assert_eq!(parsed("%6Cocalhost").path(), "/localhost");
}

#[test]
fn what_is_malformed_gives_one_sentence() {
    let digits = "two hexadecimal digits have to follow `%`; `%` itself is %25";
    let query = "write %3F for `?` and %23 for `#`: a target has no query and no fragment";
    let control = "there is a control character in it";
    for (text, reason) in [
        ("", "it is empty"),
        ("dns:///host?x", query),
        ("host#x", query),
        ("unix:/%", digits),
        ("unix:/%2", digits),
        ("unix:/%2x", digits),
        ("unix:/%+2", digits),
        ("x://%zz/a", digits),
        ("unix:/%ff", "what its escapes stand for isn't UTF-8"),
        ("unix:/a%00b", control),
        ("host\n", control),
    ] {
        let error = text.parse::<Target>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("the target `{text}` can't be used: {reason}")
        );
        assert_eq!(refusal(&Schemes::new(), text), reason, "{text}");
    }
}

#[test]
fn what_is_shown_can_be_parsed_again() {
    for (text, shown) in [
        ("localhost:50051", "dns:///localhost:50051"),
        ("DNS:host", "dns:host"),
        ("unix:/a%20b%2fc%3F%23%25", "unix:///a%20b/c%3F%23%25"),
        ("x://a%2Fb/c", "x://a%2Fb/c"),
        ("dns://host", "dns://host"),
    ] {
        assert_eq!(parsed(text).to_string(), shown);
    }
    arbtest::arbtest(|bytes| {
        let text: String = bytes.arbitrary()?;
        let prefixes = ["", "dns:", "x://", "unix:///", "unix:"];
        let text = format!("{}{text}", bytes.choose(&prefixes)?);
        if let Ok(target) = text.parse::<Target>() {
            assert_eq!(target.to_string().parse(), Ok(target), "{text:?}");
        }
        Ok(())
    });
}
