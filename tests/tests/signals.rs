//! A process that is told to end while it starts.

use std::net::TcpListener;
use std::time::Duration;
use tiderace_tests::project::{Project, Settings};

#[test]
fn a_process_that_is_told_to_end_while_it_starts_ends_in_good_order() {
    // A Redis that is reached and says nothing: whoever starts waits for it until a deadline.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = silent.local_addr().expect("an address").port();
    let settings = Settings {
        redis: Some(format!("redis://127.0.0.1:{port}")),
        ..Settings::default()
    };
    let project = Project::new(&settings).expect("a project");
    let mut server = project.launch_server().expect("it is started");
    let (_held, _) = silent.accept().expect("it asks Redis");
    let status = server.process().terminate(Duration::from_secs(20));
    let status = status.expect("it ends");
    assert!(status.success(), "{status}\n{}", server.log());
}
