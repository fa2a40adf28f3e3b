//! A Redis Cluster of three masters and three replicas, and what it does to us: one server emptied,
//! a master killed whose last writes its replica never saw, all restarted empty, one full. Every
//! row heals by itself, and no answer is wrong meanwhile. With TIDERACE_NIGHTLY, again and again.

use tiderace_testkit::redis::Cluster;
use tiderace_tests::scene::Scene;

/// A replica is taken for master however long it has not heard of its own.
const SETTINGS: [&str; 2] = ["--cluster-replica-validity-factor", "0"];

#[test]
fn every_row_heals_whatever_a_cluster_does() {
    let rounds = match std::env::var_os("TIDERACE_NIGHTLY") {
        Some(_) => 12,
        None => 1,
    };
    let mut cluster = Cluster::start(3, 1, &SETTINGS).expect("cluster");
    let mut scene = Scene::new(cluster.url(), 60, 2).expect("a scene");
    for round in 0..rounds {
        println!("round {round}");
        scene.pay();
        scene.converges("payments");
        empty_one(&cluster, &scene, round);
        lose_writes(&mut cluster, &mut scene, round);
        fill_one(&cluster, &mut scene, round);
        restart_all(&mut cluster, &mut scene);
    }
    let log = scene.server.log();
    scene.server.stop().expect("stop");
    assert!(log.contains("whole=0"), "some loss was a small one\n{log}");
}

/// The map of a cluster names its servers as their certificates do, and at the ports where they speak TLS.
#[test]
fn a_cluster_over_tls_heals_too() {
    let nightly = std::env::var_os("TIDERACE_NIGHTLY").is_some();
    let replicas = usize::from(nightly);
    let mut cluster = Cluster::start_over_tls(3, replicas, &SETTINGS).expect("cluster");
    let more = format!("ca: {}", cluster.ca().expect("an authority"));
    let mut scene = Scene::with(cluster.url(), &more, 60, 2).expect("a scene");
    scene.pay();
    scene.converges("payments");
    empty_one(&cluster, &scene, 0);
    if nightly {
        lose_writes(&mut cluster, &mut scene, 0);
        restart_all(&mut cluster, &mut scene);
    }
    scene.server.stop().expect("stop");
}

fn master(cluster: &Cluster, round: usize) -> usize {
    let masters = cluster.masters().expect("masters");
    assert_eq!(masters.len(), 3, "{masters:?}");
    masters[round % 3]
}

/// FLUSHALL on one master.
fn empty_one(cluster: &Cluster, scene: &Scene, round: usize) {
    let master = master(cluster, round);
    let healed = scene.metric("tiderace_republications_total");
    scene.never_wrong_while(|scene| {
        cluster.nodes()[master].flush().expect("flush");
        scene.converges("one server was emptied");
    });
    assert!(scene.metric("tiderace_republications_total") > healed);
}

/// kill -9 of a master, after writes that its replica has certainly not seen: it stood still, and
/// its connection was closed before they were made.
fn lose_writes(cluster: &mut Cluster, scene: &mut Scene, round: usize) {
    let master = master(cluster, round + 1);
    let replica = cluster.replica_of(master).expect("its replica");
    cluster.node(replica).pause();
    let closed = cluster.nodes()[master].command(&["CLIENT", "KILL", "TYPE", "replica"]);
    closed.expect("close its connection");
    scene.pay();
    scene.never_wrong_while(|scene| scene.converges("payments without a replica"));
    let healed = scene.metric("tiderace_republications_total");
    scene.never_wrong_while(|scene| {
        cluster.node(master).kill();
        cluster.node(replica).resume();
        cluster.wait_ready().expect("a failover");
        scene.converges("a master was lost, and with it the last writes");
    });
    assert!(
        scene.metric("tiderace_republications_total") > healed,
        "the replica had everything\n{}",
        scene.server.log()
    );
    cluster
        .node(master)
        .restart()
        .expect("the old master again");
    cluster.wait_ready().expect("a replica again");
    scene.pay();
    scene.converges("the old master is a replica");
}

/// maxmemory reached on one master, then raised.
fn fill_one(cluster: &Cluster, scene: &mut Scene, round: usize) {
    let master = &cluster.nodes()[master(cluster, round + 2)];
    let limit = |bytes| master.command(&["CONFIG", "SET", "maxmemory", bytes]);
    limit("1mb").expect("make it full");
    scene.pay();
    scene.never_wrong_while(|scene| {
        scene.admits("one server is full");
        limit("0").expect("make room");
        scene.converges("there is room again");
    });
}

/// Every server killed and started again, with nothing in it, or what an earlier replication has left
/// on its disk.
fn restart_all(cluster: &mut Cluster, scene: &mut Scene) {
    let count = cluster.nodes().len();
    (0..count).for_each(|place| cluster.node(place).kill());
    scene.pay();
    scene.admits("the cluster is down");
    scene.never_wrong_while(|scene| {
        for place in 0..count {
            cluster.node(place).restart().expect("start it again");
        }
        cluster.wait_ready().expect("a cluster again");
        scene.converges("all were restarted empty");
    });
}
