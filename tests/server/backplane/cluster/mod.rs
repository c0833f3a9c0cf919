//! Three servers in processes of their own, 600 clients in rooms over them, and a broker. Servers
//! and broker are killed, held up and cut off while all speak. In the end each message has come to
//! each member of its room, once and in order; or its sender was told that it was not sent; or the
//! server of those who lack it has counted it.

mod members;
mod node;
mod proxy;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::broker::{Broker, Kind};
use crate::support::{free_addr, within};
use members::Member;
pub use node::run as run_node;
use node::{Counts, Node};
use proxy::Proxy;

const NODES: usize = 3;
const ROOMS: usize = 30;
/// Of each room.
const MEMBERS: usize = 20;

/// Messages that have come to somebody, in all: a million with those of the other engine.
const DELIVERIES: usize = 500_000;

/// The most for everything.
const LIFETIME: Duration = Duration::from_secs(280);

/// Between rounds where only time has to pass.
const PAUSE: Duration = Duration::from_millis(100);

/// The tests of an engine.
macro_rules! tests {
    ($kind:ty) => {
        #[test]
        fn a_cluster_loses_nothing_silently() {
            cluster::test::<$kind>(module_path!());
        }

        #[test]
        #[ignore = "it is a server, which the test of the cluster starts"]
        fn node() {
            cluster::run_node::<$kind>();
        }
    };
}
pub(super) use tests;

pub fn test<K: Kind>(module: &str) {
    let (_, module) = module.split_once("::").unwrap(); // without the crate
    let name = format!("{module}::a_cluster_loses_nothing_silently");
    sansws_test::process::alone(&name, || {
        let Some(broker) = Broker::<K>::start(None) else { return };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            // on a machine that may do much else
            sansws_test::set_patience(Duration::from_secs(120));
            let mut cluster = Cluster::start(broker, &format!("{module}::node")).await;
            let began = Instant::now();
            cluster.calm(10).await;
            cluster.a_server_is_killed().await;
            cluster.the_broker_is_killed().await;
            cluster.the_broker_stands_still().await;
            cluster.a_server_is_cut_off().await;
            while cluster.deliveries() < DELIVERIES {
                cluster.calm(10).await;
            }
            println!("{} deliveries in {:?}", cluster.deliveries(), began.elapsed());
        });
    });
}

struct Cluster<K> {
    broker: Broker<K>,
    /// Between the last server and the broker.
    proxy: Proxy,
    nodes: Vec<Node>,
    members: Vec<Member>,
}

/// Where a part of the test begins.
struct Start {
    sent: Vec<u32>,
    refused: Vec<usize>,
    counts: Vec<Option<Counts>>,
}

impl<K: Kind> Cluster<K> {
    async fn start(broker: Broker<K>, test: &str) -> Self {
        let proxy = Proxy::start(broker.addr).await;
        let cut = format!("{}://{}", K::NAME, proxy.addr);
        let nodes = [broker.url(), broker.url(), cut]
            .map(|url| Node::start(test, free_addr(), url))
            .into_iter()
            .collect();
        let members = (0..ROOMS * MEMBERS).map(Member::new).collect();
        let mut this = Self { broker, proxy, nodes, members };
        this.connect(|_| true).await;
        this.settle().await;
        this
    }

    async fn connect(&mut self, who: impl Fn(&Member) -> bool) {
        for member in self.members.iter_mut().filter(|it| who(it)) {
            member.connect(self.nodes[member.node()].addr).await;
        }
    }

    /// Until everybody hears everybody: who has just entered a room is not subscribed to it yet.
    async fn settle(&mut self) {
        within(async {
            loop {
                members::round(&mut self.members, |_| true).await;
                for _ in 0..20 {
                    if self.all_have_heard_the_last(|_| true) {
                        return;
                    }
                    sleep(PAUSE).await;
                }
            }
        })
        .await;
    }

    async fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            members::round(&mut self.members, |_| true).await;
        }
    }

    /// Has all servers that run say something last, behind which nothing is missing.
    async fn last_round(&mut self, who: impl Fn(usize) -> bool + Copy) {
        members::round(&mut self.members, |it| who(it.node())).await;
        within(async {
            while !self.all_have_heard_the_last(who) {
                sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Returns whether clients of these servers have heard the last of what each of them said.
    fn all_have_heard_the_last(&self, who: impl Fn(usize) -> bool) -> bool {
        let them = || self.members.iter().filter(|it| who(it.node()));
        them().all(|member| {
            let heard = member.heard();
            them()
                .filter(|it| it.room == member.room)
                .all(|it| heard.from[it.place].last() == Some(&(it.sent - 1)))
        })
    }

    async fn until_each(&mut self, up: bool) {
        let is_so = |nodes: &[Node]| nodes.iter().all(|it| it.counts().up == u64::from(up));
        while !is_so(&self.nodes) {
            self.rounds(1).await;
            sleep(PAUSE).await;
        }
    }

    fn deliveries(&self) -> usize {
        self.members.iter().map(|it| it.heard().from.iter().map(Vec::len).sum::<usize>()).sum()
    }

    // --- what happens ---

    async fn calm(&mut self, rounds: usize) {
        let start = self.begin(|_| true);
        self.rounds(rounds).await;
        self.last_round(|_| true).await;
        let missed = self.account("calm", &start, |_| true);
        assert_eq!(missed, [0; NODES], "nothing was wrong");
    }

    async fn a_server_is_killed(&mut self) {
        const KILLED: usize = 0;
        let others = |node: usize| node != KILLED;
        let start = self.begin(others);
        self.rounds(2).await;
        // while all speak
        join_all(self.members.iter_mut().map(Member::say)).await;
        self.nodes[KILLED].kill();
        for member in self.members.iter_mut().filter(|it| it.node() == KILLED) {
            member.disconnected().await;
        }
        for _ in 0..3 {
            self.last_round(others).await;
        }
        let missed = self.account("a server is killed", &start, others);
        assert_eq!(missed, [0; NODES], "the others miss nothing of each other");
        self.nodes[KILLED].restart();
        self.connect(|it| it.node() == KILLED).await;
        self.settle().await;
    }

    async fn the_broker_is_killed(&mut self) {
        let start = self.begin(|_| true);
        self.rounds(2).await;
        join_all(self.members.iter_mut().map(Member::say)).await;
        self.broker.kill();
        self.until_each(false).await;
        self.rounds(3).await; // nothing of this leaves a server
        self.broker.restart();
        self.until_each(true).await;
        self.last_round(|_| true).await;
        let missed = self.account("the broker is killed", &start, |_| true);
        // three rounds of those on the other servers
        let least = 3 * ROOMS * (MEMBERS - MEMBERS.div_ceil(NODES));
        assert!(missed.iter().all(|it| *it >= least as u64), "{missed:?}");
    }

    /// For less than would count as lost.
    async fn the_broker_stands_still(&mut self) {
        let start = self.begin(|_| true);
        self.broker.process().freeze();
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            self.rounds(1).await;
            sleep(PAUSE).await;
        }
        self.broker.process().thaw();
        self.last_round(|_| true).await;
        let missed = self.account("the broker stands still", &start, |_| true);
        assert_eq!(missed, [0; NODES], "all of it waited");
    }

    /// Until the server has given its connection up. The others are as before.
    async fn a_server_is_cut_off(&mut self) {
        const CUT: usize = NODES - 1;
        let start = self.begin(|_| true);
        self.rounds(2).await;
        join_all(self.members.iter_mut().map(Member::say)).await;
        self.proxy.cut(true);
        while self.nodes[CUT].counts().up == 1 {
            self.rounds(1).await;
            sleep(PAUSE).await;
        }
        self.rounds(2).await;
        self.proxy.cut(false);
        self.until_each(true).await;
        self.last_round(|_| true).await;
        let missed = self.account("a server is cut off", &start, |_| true);
        assert!(missed.iter().all(|it| *it > 0), "{missed:?}");
        // what the others miss is of this one, which knows of it
        let (before, now) = (start.counts[CUT].unwrap(), self.nodes[CUT].counts());
        let known = now.not_published - before.not_published + now.lost - before.lost;
        assert!(missed[..CUT].iter().all(|it| *it <= known), "{missed:?} {known}");
    }

    // --- the account ---

    fn begin(&self, runs: impl Fn(usize) -> bool) -> Start {
        Start {
            sent: self.members.iter().map(|it| it.sent).collect(),
            refused: self.members.iter().map(|it| it.heard().refused.len()).collect(),
            counts: (0..NODES).map(|at| runs(at).then(|| self.nodes[at].counts())).collect(),
        }
    }

    /// Looks for each message since the start at each member of its room on servers that ran all
    /// the time. Returns how many did not come to each server.
    fn account(&self, name: &str, start: &Start, runs: impl Fn(usize) -> bool) -> [u64; NODES] {
        let mut missed = [0; NODES];
        let mut refused = [0; NODES];
        for (at, from) in self.members.iter().enumerate() {
            let first = start.sent[at];
            let heard = from.heard();
            assert!(heard.wrong.is_empty(), "{name}: {:?}", heard.wrong);
            let not_sent = heard.refused[start.refused[at]..].to_vec();
            drop(heard);
            refused[from.node()] += not_sent.len() as u64;
            for node in (0..NODES).filter(|it| runs(*it)) {
                let there = self.members.iter().filter(|it| it.room == from.room);
                let mut missing = there.filter(|it| it.node() == node).map(|to| {
                    let heard = to.heard();
                    let heard = &heard.from[from.place];
                    let heard = &heard[heard.partition_point(|it| *it < first)..];
                    let is_missing = |it: &u32| heard.binary_search(it).is_err();
                    (first..from.sent).filter(is_missing).collect::<Vec<_>>()
                });
                let here = missing.next().unwrap();
                assert!(missing.all(|it| it == here), "{name}: members of one server differ");
                let who = format!("{name}: {} of {} at server {node}", from.place, from.room);
                if from.node() == node {
                    assert!(here.is_empty(), "{who} waits for no broker: {here:?}");
                } else if runs(from.node()) {
                    assert!(not_sent.iter().all(|it| here.contains(it)), "{who}: it was not sent");
                    missed[node] += here.len() as u64;
                } else {
                    // it was killed: what was under way is gone, nothing before that
                    let last = here.first().copied().unwrap_or(from.sent);
                    assert!(here.iter().copied().eq(last..from.sent), "{who}: {here:?}");
                }
            }
        }
        for (node, before) in start.counts.iter().enumerate() {
            let Some(before) = before else { continue };
            let now = self.nodes[node].counts();
            let counted = (now.missed - before.missed, now.not_published - before.not_published);
            println!("{name}: server {node} missed {}, did not publish {}", counted.0, counted.1);
            assert_eq!(counted, (missed[node], refused[node]), "{name}: server {node}: {now:?}");
            assert_eq!(now.invalid, 0);
        }
        missed
    }
}
