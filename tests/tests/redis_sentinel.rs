//! A Redis that sentinels look after: its master is killed with writes that the replica never saw, and the
//! replica takes its place. Every row heals by itself, and no answer is wrong meanwhile.

use tiderace_testkit::redis::{MASTER, PASSWORD, Sentinels};
use tiderace_tests::scene::Scene;

#[test]
fn a_master_that_is_lost_is_followed_and_every_row_heals() {
    let mut sentinels = Sentinels::start().expect("sentinels");
    let more = format!("sentinel: {{ master: {MASTER}, password: {PASSWORD} }}");
    let mut scene = Scene::with(sentinels.url(), &more, 60, 2).expect("a scene");
    scene.pay();
    scene.converges("payments");
    let master = sentinels.master().expect("a master");
    let replica = 1 - master;

    // It stands still, and its connection is closed before the writes are made.
    sentinels.server(replica).pause();
    let closed = sentinels.servers()[master].command(&["CLIENT", "KILL", "TYPE", "replica"]);
    closed.expect("close its connection");
    scene.pay();
    scene.never_wrong_while(|scene| scene.converges("payments without a replica"));
    let healed = scene.metric("tiderace_republications_total");
    scene.never_wrong_while(|scene| {
        sentinels.server(master).kill();
        sentinels.server(replica).resume();
        sentinels.wait_master(replica).expect("a failover");
        scene.converges("a master was lost, and with it the last writes");
    });
    assert!(
        scene.metric("tiderace_republications_total") > healed,
        "the replica had everything\n{}",
        scene.server.log()
    );

    // What the old master holds is of the past, and it is not asked.
    sentinels.server(master).restart().expect("it starts");
    sentinels.wait_ready().expect("it is a replica");
    scene.pay();
    scene.never_wrong_while(|scene| scene.converges("the old master is a replica"));
    let log = scene.server.log();
    scene.server.stop().expect("stop");
    assert!(log.contains("the master, as sentinels say"), "{log}");
}

/// Sentinels, the master and who takes its place are reached by TLS alone, and by names that their certificates
/// are of.
#[test]
fn a_master_is_followed_over_tls_too() {
    let mut sentinels = Sentinels::start_over_tls().expect("sentinels");
    let ca = sentinels.ca().expect("an authority");
    let more = format!("ca: {ca}, sentinel: {{ master: {MASTER}, password: {PASSWORD} }}");
    let mut scene = Scene::with(sentinels.url(), &more, 60, 2).expect("a scene");
    scene.pay();
    scene.converges("payments");
    let master = sentinels.master().expect("a master");
    let replica = 1 - master;
    scene.never_wrong_while(|scene| {
        sentinels.server(master).kill();
        sentinels.wait_master(replica).expect("a failover");
        scene.converges("a master was lost");
    });
    let log = scene.server.log();
    scene.server.stop().expect("stop");
    assert!(log.contains("the master, as sentinels say"), "{log}");
}
