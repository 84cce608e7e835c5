//! The appliance dies in the middle of its work.

use std::collections::BTreeSet;
use std::time::Duration;

use super::appliance::{Appliance, STAND_IN};
use super::gate::{Gate, Moment};
use super::{alone, machine, tell, until};

const USERS: [&str; 6] = ["ana", "ben", "cleo", "dan", "eva", "finn"];

/// Also before the launch is answered, or asked.
#[tokio::test]
async fn killed_at_any_moment_of_a_launch_it_converges_on_one_container_each() {
    let _alone = alone().await;
    for moment_ms in [0, 50, 150, 400, 900] {
        let mut appliance = Appliance::new(STAND_IN, "{red: [ana, ben, cleo, dan, eva, finn]}");
        appliance.run().await;
        let moment = Duration::from_millis(moment_ms);
        let mut launch = appliance.begin(&["launch", "--no-wait"]);
        tokio::time::sleep(moment).await;
        appliance.kill().await;
        let made = containers(&appliance).len();
        let answered = tokio::time::timeout(SOON, launch.wait()).await;
        let was_accepted = answered.expect("it ends").unwrap().success();
        appliance.run().await;
        if !was_accepted {
            // It may be written down all the same. Whoever had no answer asks again.
            appliance.thon(&["launch", "--no-wait"]).await.well();
        }
        let took = until_all_ready(&appliance).await;
        tell(&format!(
            "killed after {moment:?}, accepted {was_accepted}, with {made} containers made: all ready {took:?} after the restart"
        ));
        one_container_and_two_volumes_each(&appliance).await;
    }
}

/// Groups for one launch each: only the first launch makes volumes.
const FRESH: &str = "{red: [alice], g0: [u], g1: [u], g2: [u], g3: [u], g4: [u], g5: [u], g6: [u], g7: [u], g8: [u], g9: [u], g10: [u], g11: [u], g12: [u], g13: [u], g14: [u], g15: [u]}";
const FILE: &str = "/w/red/alice/__files/workspace/main.rs";
const SOON: Duration = Duration::from_secs(10);

/// What an organizer asks for, and what the instance is like afterwards.
const OPERATIONS: [(&str, &str); 6] = [
    ("stop", "stopped"),
    ("start", "ready"),
    ("pause", "paused"),
    ("resume", "ready"),
    ("restart", "ready"),
    ("recreate", "ready"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_change_of_docker_s_it_converges_and_keeps_every_file() {
    let _alone = alone().await;
    let mut house = House::begin().await;
    let mut killed = 0;
    let mut fresh = 0..16;
    for (moment, after) in moments() {
        let Some(group) = fresh.next() else { break };
        let who = format!("g{group}/u");
        let group = format!("g{group}");
        let wish = ["launch", "--no-wait", "--group", &group];
        let goal = (who.as_str(), "ready");
        let was_held = house.kill_at(&wish, (after, moment), goal).await;
        house.users.insert(who);
        if was_held.is_none() {
            break;
        }
        killed += 1;
        house.is_whole().await;
    }
    for (verb, state) in OPERATIONS {
        for (moment, after) in moments() {
            house.undo(verb).await;
            let wish = ["instances", verb, "red/alice"];
            let goal = ("red/alice", state);
            let was_held = house.kill_at(&wish, (after, moment), goal).await;
            if was_held.is_none() {
                break;
            }
            killed += 1;
            if state == "ready" {
                house.is_whole().await;
            }
        }
    }
    tell(&format!(
        "killed at {killed} changes of Docker's, at most {:?} until all was as wanted",
        house.longest
    ));
    assert!(killed > 20, "{killed}");
}

fn moments() -> impl Iterator<Item = (Moment, usize)> {
    (0..8).flat_map(|after| [(Moment::Before, after), (Moment::After, after)])
}

struct House {
    gate: Gate,
    appliance: Appliance,
    cookie: String,
    users: BTreeSet<String>,
    longest: Duration,
}

impl House {
    async fn begin() -> Self {
        let gate = Gate::open();
        let mut appliance = Appliance::new(STAND_IN, FRESH);
        appliance.reach_docker_at(&gate.path());
        appliance.run().await;
        let links = appliance.launch(&["--group", "red"]).await;
        appliance.keep_ports().await;
        let door = appliance.door().await;
        let cookie = door.sign_in(&links["red/alice"]).await;
        let status = door.put(FILE, &cookie, "mine").await.status;
        assert!((200..300).contains(&status), "{status}");
        Self {
            gate,
            appliance,
            cookie,
            users: BTreeSet::from(["red/alice".to_owned()]),
            longest: Duration::ZERO,
        }
    }

    /// The state that the operation starts from.
    async fn undo(&self, verb: &str) {
        let (verb, state) = match verb {
            "start" => ("stop", "stopped"),
            "resume" => ("pause", "paused"),
            _ => ("start", "ready"),
        };
        let wish = ["instances", verb, "red/alice"];
        self.appliance.thon(&wish).await.well();
        self.appliance.until_state("red/alice", state, SOON).await;
    }

    /// Kills it at this change, if it comes to that, and waits until all is as wanted.
    async fn kill_at(
        &mut self,
        wish: &[&str],
        (after, moment): (usize, Moment),
        (who, state): (&str, &str),
    ) -> Option<String> {
        self.gate.hold(after, moment);
        self.appliance.thon(wish).await.well();
        let settled = async {
            self.appliance.until_state(who, state, SOON).await;
            // It may be seen so before the operation began.
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        tokio::select! {
            () = self.gate.holds() => {}
            () = settled => {}
        }
        let held = self.gate.let_pass()?;
        self.appliance.kill().await;
        self.appliance.run().await;
        let took = self.appliance.until_state(who, state, SOON).await;
        tell(&format!("{moment:?} {held}: {state} after {took:?}"));
        self.longest = self.longest.max(took);
        Some(held)
    }

    /// One container each, two volumes each, the file as it was.
    async fn is_whole(&self) {
        let mut wanted = BTreeSet::new();
        for user in &self.users {
            wanted.insert(self.appliance.container(user).await);
        }
        until(SOON, async || {
            let there = containers(&self.appliance);
            let there: BTreeSet<String> = there.into_iter().collect();
            (there == wanted)
                .then_some(())
                .ok_or(format!("{there:?}, not {wanted:?}"))
        })
        .await;
        let volumes = self.appliance.labelled(&["volume", "ls", "-q"]);
        assert_eq!(volumes.len(), 2 * self.users.len(), "{volumes:?}");
        let door = self.appliance.door().await;
        let file = door.get(FILE, &self.cookie).await;
        assert_eq!((file.status, file.body.as_str()), (200, "mine"));
    }
}

async fn until_all_ready(appliance: &Appliance) -> Duration {
    let seen = until(Duration::from_secs(10), async || {
        let status = appliance.status().await;
        let instances = status["instances"].as_array().unwrap();
        let ready = instances.iter().filter(|view| view["state"] == "ready");
        let ready = ready.count();
        (ready == USERS.len())
            .then_some(())
            .ok_or(format!("{ready} ready: {instances:#?}"))
    });
    seen.await.1
}

async fn one_container_and_two_volumes_each(appliance: &Appliance) {
    let there: BTreeSet<String> = containers(appliance).into_iter().collect();
    let mut wanted = BTreeSet::new();
    for user in USERS {
        wanted.insert(appliance.container(&format!("red/{user}")).await);
    }
    assert_eq!(there, wanted);
    let volumes =
        appliance.labelled(&["volume", "ls", "--format", "{{.Label \"thon.workspace\"}}"]);
    assert_eq!(volumes.len(), 2 * USERS.len(), "{volumes:?}");
    let workspaces: BTreeSet<&String> = volumes.iter().collect();
    assert_eq!(workspaces.len(), USERS.len(), "{volumes:?}");
}

fn containers(appliance: &Appliance) -> Vec<String> {
    machine::appliance_of(&appliance.bridge).map_or_else(Vec::new, |_| {
        appliance.labelled(&["ps", "-a", "--format", "{{.Names}}"])
    })
}
