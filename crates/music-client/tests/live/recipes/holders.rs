//! What holds something, in all recipes alike: its node paused beyond its
//! lease, its site cut off, its node dead.

use futures_util::future::join_all;
use music_client::recipes::{
    Active, ActivePassive, Election, Guard, Leadership, MultiLock, Mutex, Permit, Replica, RwLock,
    Semaphore,
};
use music_client::{Client, Error};

use crate::sites::{Sites, soon};

/// The recipes that have a holder.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Mutex,
    Writer,
    MultiLock,
    Permit,
    Leadership,
    Active,
}

const KINDS: [Kind; 6] = [
    Kind::Mutex,
    Kind::Writer,
    Kind::MultiLock,
    Kind::Permit,
    Kind::Leadership,
    Kind::Active,
];

/// What is held.
enum Held {
    Guard(Guard),
    Permit(Permit),
    Leadership(Box<Leadership>),
    Active(Active),
}

impl Kind {
    /// Waits to hold it. Of each there is one.
    async fn hold(self, client: &Client) -> Held {
        let hold = async {
            Ok::<_, Error>(match self {
                Self::Mutex => Held::Guard(Mutex::new(client, "h").lock().await?),
                Self::Writer => Held::Guard(RwLock::new(client, "h").write().await?),
                Self::MultiLock => Held::Guard(MultiLock::new(client, ["h", "i"]).lock().await?),
                Self::Permit => Held::Permit(Semaphore::new(client, "h", 1)?.acquire().await?),
                Self::Leadership => {
                    let candidate = Election::new(client, "h")?.candidate("c", "")?;
                    Held::Leadership(Box::new(candidate.campaign().await?))
                }
                Self::Active => {
                    let name = client.endpoints()[0].clone();
                    let service = ActivePassive::new(client, "h", 1)?;
                    let mut standby = service.join(Replica::new(name, "site")).await?;
                    Held::Active(standby.activate().await?)
                }
            })
        };
        soon(hold).await.unwrap()
    }
}

impl Held {
    fn token(&self) -> u64 {
        match self {
            Self::Guard(guard) => guard.token(),
            Self::Permit(permit) => permit.token(),
            Self::Leadership(leadership) => leadership.token(),
            Self::Active(active) => active.token(),
        }
    }

    fn is_lost(&self) -> bool {
        match self {
            Self::Guard(guard) => guard.is_lost(),
            Self::Permit(permit) => permit.is_lost(),
            Self::Leadership(leadership) => leadership.is_lost(),
            Self::Active(active) => active.is_lost(),
        }
        .is_some()
    }

    async fn lost(&self) {
        let lost = async {
            match self {
                Self::Guard(guard) => guard.lost().await,
                Self::Permit(permit) => permit.lost().await,
                Self::Leadership(leadership) => leadership.lost().await,
                Self::Active(active) => active.lost().await,
            }
        };
        soon(lost).await;
    }

    /// Writes what it protects; a permit protects nothing.
    async fn write(&mut self, text: &str) -> Result<(), Error> {
        match self {
            Self::Guard(guard) => soon(guard.store(text)).await,
            Self::Permit(_) => Ok(()),
            Self::Leadership(leadership) => soon(leadership.proclaim(text)).await,
            Self::Active(active) => soon(active.save(text)).await,
        }
    }

    /// What is written there.
    async fn read(&self) -> Option<String> {
        let stored = match self {
            Self::Guard(guard) => soon(guard.load()).await.unwrap(),
            Self::Active(active) => soon(active.state()).await.unwrap(),
            Self::Permit(_) | Self::Leadership(_) => return None,
        };
        stored.map(|stored| stored.content.text().unwrap().to_owned())
    }

    fn keeps_text(&self) -> bool {
        matches!(self, Self::Guard(_) | Self::Active(_))
    }
}

/// The first one holds and writes, something happens to it, and the second one
/// must have it: with what was written, under a higher token, for good.
async fn succeed(kind: Kind, happens: impl Fn(&Sites), ends: impl Fn(&Sites)) {
    let sites = &Sites::start().await;
    let [here, there] = [0, 1].map(|site| sites.client(&[site]));
    let mut first = kind.hold(&here).await;
    first.write("first").await.unwrap();
    happens(sites);
    let mut second = kind.hold(&there).await;
    assert!(second.token() > first.token(), "{kind:?}");
    if second.keeps_text() {
        assert_eq!(second.read().await.as_deref(), Some("first"), "{kind:?}");
    }
    second.write("second").await.unwrap();
    ends(sites);
    first.lost().await;
    if !matches!(first, Held::Permit(_)) {
        let late = first.write("late").await;
        assert!(matches!(late, Err(Error::Lost(_))), "{kind:?}: {late:?}");
    }
    if second.keeps_text() {
        assert_eq!(second.read().await.as_deref(), Some("second"), "{kind:?}");
    }
    assert!(!second.is_lost(), "{kind:?}");
}

#[tokio::test]
async fn one_whose_node_is_paused_beyond_its_lease_is_replaced_and_told() {
    let each = KINDS.map(|kind| {
        succeed(
            kind,
            |sites| sites.set_suspended(0, true),
            |sites| sites.set_suspended(0, false),
        )
    });
    join_all(each).await;
}

#[tokio::test]
async fn one_whose_site_is_cut_off_is_replaced_and_told() {
    let each = KINDS.map(|kind| {
        succeed(
            kind,
            |sites| sites.set_cut(0, true),
            |sites| sites.set_cut(0, false),
        )
    });
    join_all(each).await;
}

#[tokio::test]
async fn one_whose_node_dies_goes_on_at_another() {
    let each = KINDS.map(async |kind| {
        let sites = Sites::start().await;
        let mut held = kind.hold(&sites.client(&[0, 1])).await;
        held.write("first").await.unwrap();
        let token = held.token();
        sites.kill(0).await;
        held.write("second").await.unwrap();
        if held.keeps_text() {
            assert_eq!(held.read().await.as_deref(), Some("second"), "{kind:?}");
        }
        assert_eq!((held.token(), held.is_lost()), (token, false), "{kind:?}");
        drop(held);
        let next = kind.hold(&sites.client(&[2])).await;
        assert!(next.token() > token, "{kind:?}");
        if next.keeps_text() {
            assert_eq!(next.read().await.as_deref(), Some("second"), "{kind:?}");
        }
    });
    join_all(each).await;
}
