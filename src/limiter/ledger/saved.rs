//! The ledger as it is kept, and as it was.

use crate::domain::id::UserRef;
use crate::limiter::balances::{Balance, Balances};
use crate::limiter::bucket::{Bucket, Pace};
use crate::limiter::learnt::Learnt;
use crate::limiter::ledger::Ledger;
use crate::limiter::page::{Line, Page};
use crate::limiter::standing::Account;

impl Ledger {
    /// Every balance that is not full.
    pub fn balances(&mut self, now_us: u64) -> Vec<Balance> {
        self.prune(now_us);
        let mut all = Vec::new();
        write(&self.event, &Account::Event, &mut all);
        for (name, pages) in &self.groups {
            write(&pages.own, &Account::Group(name.clone()), &mut all);
            write(&pages.keys.page, &Account::GroupKey(name.clone()), &mut all);
            for (user, page) in &pages.users {
                let user = UserRef::new(name.clone(), user.clone());
                write(&page.page, &Account::User(user), &mut all);
            }
        }
        all
    }

    /// The ledger of before, to which `age_us` passed since.
    pub fn restore(saved: Balances, age_us: u64, now_us: u64) -> Self {
        let mut ledger = Self {
            learnt: Learnt::restore(saved.models),
            ..Self::default()
        };
        for balance in saved.balances {
            let pace = Pace::new(balance.capacity, balance.window_s);
            let mut bucket = Bucket::with(pace, balance.left, 0);
            bucket.fill(age_us);
            let line = Line {
                limit: balance.limit.into(),
                model: balance.model,
                members: balance.members,
                bucket: Bucket::with(pace, bucket.left(), now_us),
            };
            let page = ledger.page(balance.account);
            page.restore(line);
        }
        ledger
    }

    fn page(&mut self, account: Account) -> &mut Page {
        match account {
            Account::Event => &mut self.event,
            Account::Group(group) => &mut self.groups.entry(group).or_default().own,
            Account::GroupKey(group) => &mut self.groups.entry(group).or_default().keys.page,
            Account::User(UserRef { group, user }) => {
                let pages = self.groups.entry(group).or_default();
                &mut pages.users.entry(user).or_default().page
            }
        }
    }
}

fn write(page: &Page, account: &Account, all: &mut Vec<Balance>) {
    all.extend(page.all().map(|line| Balance {
        limit: line.limit.to_string(),
        account: account.clone(),
        model: line.model.clone(),
        members: line.members,
        left: line.bucket.left(),
        capacity: line.bucket.pace().capacity(),
        window_s: line.bucket.pace().window_s(),
    }));
}
