//! No name leads out of the folder, and no answer tells what is there.

use super::*;

/// The lesson's answer to what it does not serve, whatever it is.
const NO_SUCH_FILE: (Code, &str) = (Code::NotFound, "there is no such file");

async fn answer(stub: &mut Stub, name: &str) -> (Code, String) {
    let status = soon(refusal(stub, name, 0)).await;
    assert!(status.details().is_empty() && status.metadata().get("path").is_none());
    (status.code(), status.message().to_owned())
}

async fn assert_no_such_file(stub: &mut Stub, name: &str) {
    let (code, message) = answer(stub, name).await;
    assert_eq!((code, message.as_str()), NO_SUCH_FILE, "{name:?}");
}

#[tokio::test]
async fn files_in_folders_of_the_folder_are_served() {
    let (served, mut stub) = Served::with("top", 3).await;
    fs::create_dir(served.folder.path().join("reels")).unwrap();
    fs::write(served.folder.path().join("reels/one two ü.film"), "frames").unwrap();
    for (name, size) in [("top", 3), ("reels/one two ü.film", 6)] {
        let film = begin(&mut stub, name, &Received::default()).await.unwrap();
        assert_eq!(film.size(), size);
    }
}

#[tokio::test]
async fn names_that_lead_out_or_are_none_are_refused_without_a_look_at_the_disk() {
    let (served, mut stub) = Served::with("top", 3).await;
    let absolute = served.folder.path().join("top");
    let folder = served.folder.path().file_name().unwrap();
    let there_and_back = format!("../{}/top", folder.to_str().unwrap());
    let names = [
        "",
        ".",
        "..",
        "/",
        "./top",
        "../top",
        "../nothing",
        "../../../../../../../../etc/passwd",
        "top/../top",
        "top/..",
        "reels/../../top",
        "/etc/passwd",
        "//etc/passwd",
        "C:\\Windows\\win.ini",
        "C:top",
        "\\\\server\\share\\file",
        "..\\top",
        "top::$DATA",
        "top\0",
        "top\0.film",
        "\0",
        absolute.to_str().unwrap(),
        &there_and_back,
    ];
    let first = answer(&mut stub, names[0]).await;
    assert_eq!(first.0, Code::InvalidArgument);
    for name in names {
        assert_eq!(answer(&mut stub, name).await, first, "{name:?}");
    }
}

#[tokio::test]
async fn what_is_no_file_is_not_found() {
    let (served, mut stub) = Served::with("top", 3).await;
    fs::create_dir(served.folder.path().join("reels")).unwrap();
    let (long, deep) = ("x".repeat(100_000), "x/".repeat(10_000) + "x");
    for name in [
        "nothing",
        "reels",
        "reels/",
        "reels/nothing",
        "top/nothing",
        "top/",
        &long,
        &deep,
    ] {
        assert_no_such_file(&mut stub, name).await;
    }
}

/// The same answer for a link to a file, to a folder, to nothing, and to itself.
#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_only_within_the_folder() {
    use std::os::unix::fs::symlink;

    let (served, mut stub) = Served::with("top", 3).await;
    let (folder, outside) = (served.folder.path(), TempDir::new().unwrap());
    let secret = outside.path().join("secret");
    fs::write(&secret, "a secret").unwrap();
    symlink("top", folder.join("inside")).unwrap();
    symlink(&secret, folder.join("file")).unwrap();
    symlink(outside.path(), folder.join("folder")).unwrap();
    symlink(outside.path().join("nothing"), folder.join("nothing")).unwrap();
    symlink("itself", folder.join("itself")).unwrap();
    symlink("file", folder.join("twice")).unwrap();
    symlink("..", folder.join("up")).unwrap();
    // A folder whose name begins with the name of the one that is served.
    let neighbour = folder.with_file_name(format!("{}2", folder.file_name().unwrap().display()));
    fs::create_dir(&neighbour).unwrap();
    fs::write(neighbour.join("secret"), "a secret").unwrap();
    symlink(neighbour.join("secret"), folder.join("neighbour")).unwrap();

    let film = begin(&mut stub, "inside", &Received::default())
        .await
        .unwrap();
    assert_eq!(film.size(), 3);
    for name in [
        "file",
        "folder",
        "folder/secret",
        "folder/none",
        "nothing",
        "itself",
        "twice",
        "up",
        "neighbour",
    ] {
        assert_no_such_file(&mut stub, name).await;
    }
    fs::remove_dir_all(neighbour).unwrap();
}

/// To open a pipe that nobody writes to would take for ever.
#[cfg(unix)]
#[tokio::test]
async fn sockets_and_devices_are_not_found() {
    let (served, mut stub) = Served::with("top", 3).await;
    let folder = served.folder.path();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("pipe"))
        .status();
    assert!(made.unwrap().success());
    for name in ["socket", "pipe"] {
        assert_no_such_file(&mut stub, name).await;
    }
}

#[test]
fn the_folder_itself_must_exist() {
    let folder = TempDir::new().unwrap();
    Shelf::new(folder.path()).unwrap();
    Shelf::new(folder.path().join("nothing")).unwrap_err();
}
