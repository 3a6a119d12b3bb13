//! What is read from a page: items, folded parts, words, names and their lines.

use crate::check::reading::lines_of;
use crate::page;

#[test]
fn links_inside_of_code_are_no_links() {
    assert_eq!(page::links("[a](b) `[c](d)` [`e`](f)"), ["b", "f"]);
    assert_eq!(page::links("``[`c`](d)`` [``e`](f)`` [`g`](h)"), ["h"]);
    let (blocks, prose) =
        page::split("[a](b)\n```rust\n[c](d)\n```\n  ```console\n  $ e\n    f\n  ```\n");
    assert_eq!(prose.len(), 1);
    assert_eq!(blocks[0].language, "rust");
    let lines = blocks[1].lines.iter().map(|line| (line.number, line.text));
    assert_eq!(lines.collect::<Vec<_>>(), [(6, "$ e"), (7, "  f")]);
}

const PAGE: &str = "# A\n\n## One\n\nBefore 1. no item.\n\n1. First\n   goes on.\n\n   <details><summary>Hint\
                    </summary>\n\n   ```console\n   $ a\n   ```\n\n   Folded.\n   </details>\n\n2. Second.\n\
                    \nAfter.\n\n## Two\n\n1. Third.\n";

#[test]
fn items_hold_their_folded_parts_but_not_what_follows_the_list() {
    let part = page::section(PAGE, "One").unwrap();
    assert_eq!(part, 3..23);
    let items = page::items(PAGE, &part);
    let of = |item: &page::Item| {
        (
            item.number.to_owned(),
            item.lines.clone(),
            item.text.clone(),
        )
    };
    let items: Vec<_> = items.iter().map(of).collect();
    assert_eq!(
        items[0],
        (
            "1".to_owned(),
            7..19,
            "First\ngoes on.\n\n\n".replacen("First", "1. First", 1)
        )
    );
    assert_eq!(
        items[1],
        ("2".to_owned(), 19..21, "2. Second.\n\n".to_owned())
    );
    assert_eq!(items.len(), 2);
    assert_eq!(page::folded(PAGE).first(), Some(&(10..18)));
    assert_eq!(page::section(PAGE, "Two"), Some(23..26));
    assert_eq!(page::section(PAGE, "Three"), None);
}

#[test]
fn words_are_counted_without_code_and_marks() {
    let text = "One, two - three | four\n```\nfive\n```\n<details><summary>Six</summary>\n";
    assert_eq!(page::words(text, &(1..100)), 5);
    assert_eq!(page::words(text, &(2..100)), 1);
}

#[test]
fn the_lines_of_a_name_are_those_of_its_item() {
    let source = "//! File.\n\nuse a::Abacus;\n\n/// Counts.\n#[derive(Debug)]\npub struct Abacus {\n    a: u8,\n}\n\n\
                  impl Abacus {\n    /// Adds.\n    pub(crate) async fn add(\n        &self,\n    ) -> u8\n    \
                  where\n        T: Copy,\n    {\n        let b = [\n            1,\n        ];\n\n        b\n    \
                  }\n}\n\nstruct Gone;\n\nconst A: u8 = 1;\nfn short() {}\nimpl From<Gone> for u8 {\n    fn from() \
                  {}\n}\n";
    let of = |name: &str| {
        lines_of(source, name)
            .iter()
            .map(|it| it + 1)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("Abacus"), [5, 6, 7, 8, 9]);
    assert_eq!(
        of("add()"),
        [12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24]
    );
    assert_eq!(of("Abacus::add"), of("add"));
    assert_eq!(of("impl Abacus").len(), 14);
    assert_eq!(of("Gone"), [27]);
    assert_eq!(of("impl Gone"), [31, 32, 33]);
    assert_eq!(of("A"), [29]);
    assert_eq!(of("short"), [30]);
    assert_eq!(of("b"), [0_usize; 0]);

    let proto = "service Calculator {\n  // Adds.\n  rpc Add(Number) returns (stream Sum);\n\n  rpc Take(A) \
                 returns (B) {\n    option a = 1;\n  }\n}\n\nmessage Sum {\n  oneof a {\n    int32 b = 1;\n  }\n}\n\
                 message Empty {}\n";
    let of = |name: &str| {
        lines_of(proto, name)
            .iter()
            .map(|it| it + 1)
            .collect::<Vec<_>>()
    };
    assert_eq!(of("Add"), [2, 3]);
    assert_eq!(of("Take"), [5, 6, 7]);
    assert_eq!(of("Sum"), [10, 11, 12, 13, 14]);
    assert_eq!(of("Empty"), [15]);
}
