//! Where events end, however the stream is cut.

use proptest::prelude::*;

use super::*;

fn blocks(pieces: &[&[u8]], max: usize) -> Result<Vec<Bytes>, TooLong> {
    let mut scanner = Scanner::new(max);
    let mut blocks = Vec::new();
    for piece in pieces {
        scanner.feed(&Bytes::copy_from_slice(piece));
        while let Some(block) = scanner.next()? {
            blocks.push(block);
        }
    }
    blocks.extend(scanner.rest());
    Ok(blocks)
}

fn said(block: &[u8]) -> Option<String> {
    data(block).map(|data| String::from_utf8_lossy(&data.text).into_owned())
}

#[test]
fn lines_end_in_three_ways() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = ["event: a", "data: 1", "", "data:2", "data:3", "", ""].join(end);
        let blocks = blocks(&[stream.as_bytes()], 1_000).unwrap();
        let said: Vec<_> = blocks.iter().filter_map(|block| said(block)).collect();
        assert_eq!(said, ["1", "2\n3"], "{end:?}");
    }
}

#[test]
fn a_comment_does_not_wait_for_an_empty_line() {
    let mut scanner = Scanner::new(100);
    scanner.feed(&Bytes::from_static(b": ping\ndata: half"));
    assert_eq!(scanner.next().unwrap().unwrap(), ": ping\n");
    assert_eq!(scanner.next().unwrap(), None);
    assert!(scanner.holds_part());
    assert_eq!(scanner.rest().unwrap(), "data: half\n\n");
}

#[test]
fn what_came_whole_is_not_copied() {
    let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    let mut scanner = Scanner::new(100);
    scanner.feed(&chunk);
    let block = scanner.next().unwrap().unwrap();
    assert_eq!(block.as_ptr(), chunk.as_ptr());
    assert_eq!(scanner.next().unwrap().unwrap(), "data: 2\n\n");
    assert_eq!(scanner.next().unwrap(), None);
    assert!(!scanner.holds_part());
}

#[test]
fn a_block_without_end_is_an_error_and_not_memory() {
    let mut scanner = Scanner::new(1_000);
    let mut fed = 0;
    let chunk = Bytes::from_static(&[b'x'; 100]);
    while scanner.next().is_ok() {
        scanner.feed(&chunk);
        fed += chunk.len();
        assert!(fed <= 1_100);
    }
    let whole = [b"data: ".as_slice(), &[b'x'; 2_000], b"\n\n"].concat();
    assert_eq!(blocks(&[&whole], 1_000), Err(TooLong));
}

#[test]
fn only_data_is_data() {
    for (block, text) in [
        (": data: 1\n", None),
        ("event: data\n\n", None),
        ("datas: 1\n\n", None),
        ("data: 1\n\n", Some("1")),
        ("data:1\n\n", Some("1")),
        ("data:   1  \n\n", Some("1")),
        ("data\n\n", Some("")),
        ("\u{feff}data: 1\n\n", Some("1")),
        ("id: 7\ndata: 1\nretry: 3\ndata: 2\n\n", Some("1\n2")),
    ] {
        assert_eq!(said(block.as_bytes()).as_deref(), text, "{block:?}");
    }
}

#[test]
fn data_is_replaced_where_it_stands() {
    for (block, replaced) in [
        (
            "event: a\ndata:  {\"b\":1} \r\n\r\n",
            "event: a\ndata:  {\"NEW\":1} \r\n\r\n",
        ),
        (
            "event: a\ndata: {\"b\"\ndata: :1}\nid: 4\n\n",
            "event: a\nid: 4\ndata: {\"NEW\" :1}\n\n",
        ),
    ] {
        let data = data(block.as_bytes()).unwrap();
        let mut out = BytesMut::new();
        replace(block.as_bytes(), &data, 1..4, b"\"NEW\"", &mut out);
        assert_eq!(out, replaced);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn where_a_stream_is_cut_makes_no_difference(
        stream in "(data: ?|event|:|x|\n|\n\n|\r|\r\n| ){0,30}",
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = blocks(&[stream.as_bytes()], 40);
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        prop_assert_eq!(&blocks(&bytes, 40), &whole);
        let pieces = crate::llm::spoken::pieces_of(stream.as_bytes(), &cuts);
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
        prop_assert_eq!(&blocks(&pieces, 40), &whole);
        if let Ok(blocks) = whole {
            prop_assert!(blocks.concat().starts_with(stream.as_bytes()), "nothing is lost");
        }
    }
}
