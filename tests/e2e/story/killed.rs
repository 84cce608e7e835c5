//! The appliance dies in the middle of its work.

use std::collections::BTreeSet;
use std::time::Duration;

use super::appliance::{Appliance, STAND_IN};
use super::{alone, machine, tell, until};

const USERS: [&str; 6] = ["ana", "ben", "cleo", "dan", "eva", "finn"];

/// One of them for each moment of the death after the launch was asked for.
#[tokio::test]
async fn killed_at_any_moment_of_a_launch_it_converges_on_one_container_each() {
    let _alone = alone().await;
    for moment_ms in [50, 150, 400, 900] {
        let mut appliance = Appliance::new(STAND_IN, "{red: [ana, ben, cleo, dan, eva, finn]}");
        appliance.run().await;
        let moment = Duration::from_millis(moment_ms);
        let was_accepted = {
            let launch = appliance.thon(&["launch", "--no-wait"]);
            let (said, ()) = tokio::join!(launch, tokio::time::sleep(moment));
            said.code == Some(0)
        };
        appliance.kill().await;
        let made = containers(&appliance).len();
        appliance.run().await;
        assert!(was_accepted, "a launch answers before anything is made");
        let took = until_all_ready(&appliance).await;
        tell(&format!(
            "killed after {moment:?} with {made} containers made: all ready {took:?} after the restart"
        ));
        one_container_and_two_volumes_each(&appliance).await;
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
