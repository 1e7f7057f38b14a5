//! One change of one object.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::diff::{self, FieldChange, ObjectDiff};
use super::{Execution, HostRoute};
use crate::inventory::Observed;
use crate::resource::protection::is_record;
use crate::resource::{Address, Api, ArmId, Kind, ObjectKey, Ownership, Resource, Site};

/// One change of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The resource.
    pub address: Address,
    /// The identity of the object in its service.
    pub key: ObjectKey,
    /// The operation on the object.
    pub action: Action,
    /// Field by field, where there is a value on both sides; see [`Change::fields`].
    pub differences: Vec<FieldChange>,
    /// The observed value; the step checks that it is still current.
    pub before: Option<Resource>,
    /// The desired value; absent for a deletion.
    pub after: Option<Resource>,
    /// The current owner of the object.
    pub ownership: Option<Ownership>,
    /// Changes of this plan that come first.
    pub depends_on: Vec<Address>,
    /// Changes of this plan that come before the deletion half of this one: of a
    /// replacement, its own deletion half.
    pub destroy_after: Vec<Address>,
    /// Changes of this plan whose `Destroy` phase precedes this change: they hold a name or
    /// range that it claims, or contain an object that it recreates.
    #[serde(default)]
    pub create_after_destroy_of: Vec<Address>,
    /// The rule of the topology that requires it.
    pub planned_because_of: String,
    /// The change that this one only follows from.
    pub caused_by: Option<Address>,
    /// The workload or traffic that the change interrupts.
    pub interrupts: Option<String>,
    /// Its place in the rollout; only workers and machines of workers that restart have
    /// one.
    #[serde(default)]
    pub wave: Option<InWave>,
    /// Whether it ends an object with a recorded protection, which the topology lifts.
    #[serde(default)]
    pub lifts_protection: bool,
    /// Whether the user requested it by name, regardless of the topology.
    #[serde(default)]
    pub requested: bool,
    /// Hosts that must answer before it is made: it leads packets there instead of to where
    /// the hosts are now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_hosts: Vec<HostRoute>,
    /// Parameters of the executor that are not values of the resource.
    pub execution: Execution,
}

impl Change {
    /// The id of the route in a table of another owner that this deletes.
    pub fn deleted_route(&self) -> Option<&ArmId> {
        match (&self.key, self.address.kind, self.action) {
            (ObjectKey::Azure(id), Kind::Route, Action::Delete) => Some(id),
            _ => None,
        }
    }

    /// A change without values and without dependencies. Every change is made
    /// by this function, so a new field gets its default here.
    pub fn new(
        address: Address,
        key: ObjectKey,
        action: Action,
        planned_because_of: impl Into<String>,
    ) -> Self {
        Self {
            address,
            key,
            action,
            differences: Vec::new(),
            before: None,
            after: None,
            ownership: None,
            depends_on: Vec::new(),
            destroy_after: Vec::new(),
            create_after_destroy_of: Vec::new(),
            planned_because_of: planned_because_of.into(),
            caused_by: None,
            interrupts: None,
            wave: None,
            lifts_protection: false,
            requested: false,
            required_hosts: Vec::new(),
            execution: Execution::default(),
        }
    }

    /// Sets the observed value and its owner.
    pub(super) fn with_before(mut self, observed: &Observed) -> Self {
        self.before = Some(observed.resource.clone());
        self.ownership = Some(observed.ownership.clone());
        self
    }

    /// The API that most requests of the change go to.
    pub fn api(&self) -> Api {
        self.address.kind.facts().requests.api
    }

    /// The site that the observed object is marked with.
    pub(super) fn old_site(&self) -> Option<Site> {
        self.ownership.as_ref().and_then(Ownership::site).map(Site::from)
    }

    /// The site that a replaced object leaves for another one.
    pub fn moves_from(&self) -> Option<Site> {
        let is_moved = |site: &Site| *site != self.address.site;
        (self.action == Action::Replace).then(|| self.old_site()).flatten().filter(is_moved)
    }

    /// Sets the desired value and the fields in which the observed one differs
    /// from it. Call [`Change::with_before`] first.
    pub(super) fn with_after(mut self, desired: &Resource) -> Self {
        self.differences =
            self.before.as_ref().map(|before| diff::between(before, desired)).unwrap_or_default();
        self.after = Some(desired.clone());
        self
    }

    /// Whether a router only joins the tailnet again, or for the first time: its machine stays,
    /// so that its protection does not forbid it.
    pub fn only_rejoins(&self) -> bool {
        self.action == Action::Replace && self.address.kind == Kind::RouterHost
    }

    /// Whether the change is an update that only records protection, or removes the record:
    /// it interrupts nothing.
    pub fn records_protection_only(&self) -> bool {
        let mut fields = self.differences.iter();
        self.action == Action::Update
            && !self.differences.is_empty()
            && fields.all(|field| is_record(&field.path.0))
    }

    /// Field by field. The fields of an object that is created or deleted are
    /// computed from its value: a plan that held both would be twice as large and
    /// take twice as long to make.
    pub fn fields(&self) -> Cow<'_, [FieldChange]> {
        match (&self.before, &self.after) {
            (None, Some(made)) => Cow::Owned(diff::whole(made, ObjectDiff::Created)),
            (Some(removed), None) => Cow::Owned(diff::whole(removed, ObjectDiff::Deleted)),
            _ => Cow::Borrowed(&self.differences),
        }
    }
}

/// The operation that a change performs on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is created.
    Create,
    /// Some of its fields are changed.
    Update,
    /// It is deleted and created again.
    Replace,
    /// It is deleted.
    Delete,
    /// It is marked as ours, and its fields set.
    Adopt,
    /// It is restarted, and does not change.
    Reboot,
}

impl Action {
    /// Every action, in the order of a plan's last line.
    pub const ALL: [Self; 6] =
        [Self::Create, Self::Update, Self::Replace, Self::Delete, Self::Adopt, Self::Reboot];

    /// The sign in front of a change.
    pub fn glyph(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Update | Self::Reboot => "~",
            Self::Replace => "-/+",
            Self::Delete => "-",
            Self::Adopt => ">",
        }
    }

    /// The word for a sentence, as in "will be created".
    pub fn participle(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
            Self::Replace => "replaced",
            Self::Delete => "deleted",
            Self::Adopt => "adopted",
            Self::Reboot => "rebooted",
        }
    }
}

/// A change's place in the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InWave {
    /// The wave, counted from 1; it starts when the previous wave has ended.
    pub number: u32,
    /// Whether the destroy step of a replacement waits for the wave too. It does
    /// not if a worker of an earlier wave waits for it, for example because their
    /// network is replaced.
    pub destroy_waits: bool,
    /// Whether no later wave starts if it fails.
    #[serde(default)]
    pub is_canary: bool,
}
