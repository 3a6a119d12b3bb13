//! No name leads out of the folder, and no answer tells what is there.

use super::*;

async fn answer(files: &mut Client, name: &str) -> (Code, String) {
    let status = download(files, name).await.unwrap_err();
    assert!(status.details().is_empty(), "{name:?}: {status}");
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn what_is_not_the_name_of_a_file_is_refused_without_a_look_at_the_disk() {
    let (served, mut files) = Served::with_file("top", 3).await;
    let absolute = served.folder.path().join("top");
    let (long, longer) = ("x".repeat(256), "x".repeat(100_000));
    for name in [
        "",
        ".",
        "..",
        "/",
        "./top",
        "../top",
        "../../etc/passwd",
        "top/../top",
        "top/",
        "a/b",
        "/etc/passwd",
        "C:\\Windows\\win.ini",
        "C:top",
        "\\\\server\\share",
        "..\\top",
        "top::$DATA",
        "top\0",
        "\0",
        ".hidden",
        "a b",
        "\u{1b}[2J",
        "fil\u{301}m",
        "a\nb: handed over",
        absolute.to_str().unwrap(),
        &long,
        &longer,
    ] {
        let expected = (Code::InvalidArgument, "not a file's name".to_owned());
        assert_eq!(answer(&mut files, name).await, expected, "{name:?}");
    }
}

fn no_such_file() -> (Code, String) {
    (Code::NotFound, "no such file".to_owned())
}

#[tokio::test]
async fn what_is_no_file_is_not_found() {
    let (served, mut files) = Served::with_file("top", 3).await;
    fs::create_dir(served.folder.path().join("folder")).unwrap();
    for name in ["nothing", "folder"] {
        assert_eq!(answer(&mut files, name).await, no_such_file(), "{name:?}");
    }
    let parts = download(&mut files, "top").await.unwrap();
    assert_eq!(read_all(parts).await.unwrap(), 3);
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_only_within_the_folder() {
    use std::os::unix::fs::symlink;

    let (served, mut files) = Served::with_file("top", 3).await;
    let (folder, outside) = (served.folder.path(), TempDir::new().unwrap());
    let secret = outside.path().join("secret");
    fs::write(&secret, "a secret").unwrap();
    symlink("top", folder.join("inside")).unwrap();
    symlink(&secret, folder.join("file")).unwrap();
    symlink(outside.path(), folder.join("folder")).unwrap();
    symlink(outside.path().join("nothing"), folder.join("nothing")).unwrap();
    symlink("file", folder.join("twice")).unwrap();
    symlink("..", folder.join("up")).unwrap();
    // A folder whose name begins with the name of the one that is served.
    let neighbour = folder.with_file_name(format!("{}2", folder.file_name().unwrap().display()));
    fs::create_dir(&neighbour).unwrap();
    fs::write(neighbour.join("secret"), "a secret").unwrap();
    symlink(neighbour.join("secret"), folder.join("neighbour")).unwrap();
    // Opening a pipe that nobody writes to would take for ever.
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("pipe"))
        .status();
    assert!(made.unwrap().success());

    for name in [
        "file",
        "folder",
        "nothing",
        "twice",
        "up",
        "neighbour",
        "pipe",
    ] {
        assert_eq!(answer(&mut files, name).await, no_such_file(), "{name:?}");
    }
    let parts = download(&mut files, "inside").await.unwrap();
    assert_eq!(read_all(parts).await.unwrap(), 3);
    fs::remove_dir_all(neighbour).unwrap();
}

/// An error that isn't about this file says "come again", and a line in the log says why.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_can_not_be_opened_now_is_not_a_missing_file() {
    let (mut served, mut files) = Served::with_file("top", 3).await;
    // A link to itself: the system gives up with an error that is neither "missing" nor "denied".
    std::os::unix::fs::symlink("itself", served.folder.path().join("itself")).unwrap();
    let expected = (Code::Unavailable, "the file can't be opened now".to_owned());
    assert_eq!(answer(&mut files, "itself").await, expected);
    let line = served.next_line().await;
    assert!(line.starts_with("itself: can't be opened: "), "{line}");
}

#[test]
fn the_folder_itself_must_exist() {
    let folder = TempDir::new().unwrap();
    RootDir::new(folder.path()).unwrap();
    RootDir::new(folder.path().join("nothing")).unwrap_err();
}
