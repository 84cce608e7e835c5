//! The machine in memory: containers, volumes, images.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::domain::id::{InstanceId, WorkspaceId};
use crate::domain::instance::{Container, ContainerState, EDITOR_PORT, InstanceSpec};
use crate::domain::workspace::Mount;
use crate::runtime::RuntimeError;

/// A volume with what was written into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// `None`: somebody else's.
    pub workspace: Option<WorkspaceId>,
    pub files: BTreeMap<String, String>,
}

struct Made {
    spec: InstanceSpec,
    state: ContainerState,
    has_files: bool,
    printed: Vec<String>,
}

impl Made {
    fn runs(&self) -> bool {
        matches!(self.state, ContainerState::Running | ContainerState::Paused)
    }
}

#[derive(Default)]
pub(super) struct World {
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) missing_images: BTreeSet<String>,
    pub(super) origin: Option<SocketAddr>,
    pub(super) silent: bool,
    pub(super) started_without_files: usize,
    containers: BTreeMap<String, Made>,
    /// Removed identifiers never come back.
    made_so_far: u64,
}

impl World {
    pub(super) fn add_foreign_volume(&mut self, name: &str) {
        self.volumes.insert(name.to_owned(), Volume::default());
    }

    pub(super) fn write(&mut self, volume: &str, path: &str, contents: &str) {
        if let Some(volume) = self.volumes.get_mut(volume) {
            volume.files.insert(path.to_owned(), contents.to_owned());
        }
    }

    pub(super) fn make_volumes(&mut self, spec: &InstanceSpec) -> Result<(), RuntimeError> {
        for mount in [&spec.workspace, &spec.home] {
            let Mount::Volume { name, workspace } = mount else {
                continue;
            };
            let ours = Volume {
                workspace: Some(workspace.clone()),
                files: BTreeMap::new(),
            };
            let volume = self.volumes.entry(name.clone()).or_insert(ours);
            if volume.workspace.as_ref() != Some(workspace) {
                return Err(RuntimeError::Refused(format!(
                    "a volume named {name} exists that does not belong to this workspace"
                )));
            }
        }
        Ok(())
    }

    /// The identifier, and whether it is new.
    pub(super) fn make_container(
        &mut self,
        spec: &InstanceSpec,
    ) -> Result<(String, bool), RuntimeError> {
        if self.missing_images.contains(&spec.image) {
            return Err(RuntimeError::Refused(format!(
                "image {} is not on this host: run `thon up`",
                spec.image
            )));
        }
        let same = |made: &Made| made.spec.id == spec.id && made.spec.generation == spec.generation;
        if let Some((id, _)) = self.containers.iter().find(|(_, made)| same(made)) {
            return Ok((id.clone(), false));
        }
        self.made_so_far += 1;
        let id = format!("{:064x}", self.made_so_far);
        let made = Made {
            spec: spec.clone(),
            state: ContainerState::Created,
            has_files: false,
            printed: Vec::new(),
        };
        self.containers.insert(id.clone(), made);
        Ok((id, true))
    }

    pub(super) fn put_files(
        &mut self,
        id: &str,
        spec: &InstanceSpec,
    ) -> Result<Container, RuntimeError> {
        let made = self.container(id)?;
        match made.state {
            ContainerState::Created => {
                made.spec = spec.clone();
                made.has_files = true;
            }
            ContainerState::Exited { .. } => made.spec.files.clone_from(&spec.files),
            _ => {}
        }
        let state = made.state.clone();
        Ok(Container {
            id: id.to_owned(),
            instance: spec.id.clone(),
            generation: spec.generation,
            endpoint: self.endpoint(&state, spec),
            state,
        })
    }

    pub(super) fn start(&mut self, id: &str) -> Result<bool, RuntimeError> {
        let address = self.container(id)?.spec.address;
        let held = self
            .containers
            .iter()
            .any(|(other, made)| other != id && made.spec.address == address && made.runs());
        let made = self.container(id)?;
        match made.state {
            ContainerState::Running => return Ok(false),
            ContainerState::Paused => {
                return Err(RuntimeError::Unavailable(
                    "a paused container cannot be started: unpause it".to_owned(),
                ));
            }
            _ if held => {
                return Err(RuntimeError::Unavailable(
                    "another container still holds the instance's address".to_owned(),
                ));
            }
            _ => {}
        }
        made.state = ContainerState::Running;
        made.printed
            .push(format!("{} listens on {EDITOR_PORT}", made.spec.image));
        if !made.has_files {
            self.started_without_files += 1;
        }
        Ok(true)
    }

    pub(super) fn stop(&mut self, id: &str) -> Result<bool, RuntimeError> {
        let made = self.container(id)?;
        let runs = made.runs();
        if runs {
            made.state = ContainerState::Exited {
                code: 0,
                out_of_memory: false,
            };
        }
        Ok(runs)
    }

    pub(super) fn pause(&mut self, id: &str) -> Result<bool, RuntimeError> {
        self.turn(id, &ContainerState::Running, &ContainerState::Paused)
    }

    pub(super) fn unpause(&mut self, id: &str) -> Result<bool, RuntimeError> {
        self.turn(id, &ContainerState::Paused, &ContainerState::Running)
    }

    fn turn(
        &mut self,
        id: &str,
        from: &ContainerState,
        to: &ContainerState,
    ) -> Result<bool, RuntimeError> {
        let made = self.container(id)?;
        if made.state == *to {
            return Ok(false);
        }
        if made.state != *from {
            return Err(RuntimeError::Unavailable("it does not run".to_owned()));
        }
        made.state = to.clone();
        Ok(true)
    }

    pub(super) fn remove(&mut self, id: &str) -> bool {
        self.containers.remove(id).is_some()
    }

    pub(super) fn remove_instance(&mut self, instance: &InstanceId) -> Vec<String> {
        let of_instance =
            |(id, made): (&String, &Made)| (made.spec.id == *instance).then(|| id.clone());
        let ids: Vec<String> = self.containers.iter().filter_map(of_instance).collect();
        for id in &ids {
            self.containers.remove(id);
        }
        ids
    }

    pub(super) fn set_state(&mut self, id: &str, state: ContainerState) {
        if let Some(made) = self.containers.get_mut(id) {
            made.state = state;
        }
    }

    pub(super) fn list(&self) -> Vec<Container> {
        self.containers
            .iter()
            .map(|(id, made)| Container {
                id: id.clone(),
                instance: made.spec.id.clone(),
                generation: made.spec.generation,
                state: made.state.clone(),
                endpoint: self.endpoint(&made.state, &made.spec),
            })
            .collect()
    }

    pub(super) fn probe(&self, id: &str) -> Result<(), RuntimeError> {
        let runs = self
            .containers
            .get(id)
            .is_some_and(|made| made.state == ContainerState::Running);
        if runs && !self.silent {
            return Ok(());
        }
        Err(RuntimeError::Unavailable(
            "the editor does not listen yet".to_owned(),
        ))
    }

    pub(super) fn logs(&self, id: &str, lines: usize) -> Result<Vec<String>, RuntimeError> {
        let made = self.containers.get(id).ok_or(RuntimeError::Missing)?;
        let skipped = made.printed.len().saturating_sub(lines);
        Ok(made.printed.iter().skip(skipped).cloned().collect())
    }

    pub(super) fn newest_spec(&self, instance: &InstanceId) -> Option<InstanceSpec> {
        self.containers
            .values()
            .filter(|made| made.spec.id == *instance)
            .max_by_key(|made| made.spec.generation)
            .map(|made| made.spec.clone())
    }

    fn endpoint(&self, state: &ContainerState, spec: &InstanceSpec) -> Option<SocketAddr> {
        let own = SocketAddr::from((spec.address, EDITOR_PORT));
        matches!(state, ContainerState::Running | ContainerState::Paused)
            .then(|| self.origin.unwrap_or(own))
    }

    fn container(&mut self, id: &str) -> Result<&mut Made, RuntimeError> {
        self.containers.get_mut(id).ok_or(RuntimeError::Missing)
    }
}
