//! The money: the same sums and the same payments in every book.

use std::collections::BTreeMap;

use super::{Evidence, Finding};
use crate::books::{Bought, Movement, Movements, Sold};

/// One account in every book: what a payer paid and a payee got, in base units.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) address: String,
    /// Whether it pays; otherwise it is paid.
    pub(crate) pays: bool,
    /// How many payments.
    pub(crate) payments: u64,
    /// By how much the chain's balance changed.
    pub(crate) balance: u128,
    /// The chain's events.
    pub(crate) events: u128,
    /// The gateways' settled claims.
    pub(crate) claims: u128,
    /// The facilitators' confirmed settlements.
    pub(crate) settlements: u128,
    /// The wallets' paid purchases.
    pub(crate) purchases: u128,
}

impl Row {
    /// Whether every book says the same.
    pub(crate) fn agrees(&self) -> bool {
        [self.events, self.claims, self.settlements, self.purchases].iter().all(|sum| *sum == self.balance)
    }
}

/// One row for every account, and one for all payers together.
pub(super) fn rows(evidence: &Evidence) -> Vec<Row> {
    let books = Books::of(evidence);
    let mut rows: Vec<_> = evidence.accounts.iter().map(|(name, at)| books.row(evidence, name, at)).collect();
    let payers: Vec<_> = rows.iter().filter(|row| row.pays).cloned().collect();
    let sum = |part: fn(&Row) -> u128| payers.iter().map(part).sum();
    rows.push(Row {
        name: "all buyers".to_owned(),
        address: String::new(),
        pays: true,
        payments: payers.iter().map(|row| row.payments).sum(),
        balance: sum(|row| row.balance),
        events: sum(|row| row.events),
        claims: sum(|row| row.claims),
        settlements: sum(|row| row.settlements),
        purchases: sum(|row| row.purchases),
    });
    rows
}

/// The four books that name payments one by one.
struct Books {
    events: Movements,
    claims: Movements,
    settlements: Movements,
    purchases: Movements,
}

impl Books {
    fn of(evidence: &Evidence) -> Self {
        Self {
            events: evidence.logs.settled.clone(),
            claims: of_sold(&evidence.claims, "settled"),
            settlements: of_sold(&evidence.settlements, "confirmed"),
            purchases: evidence.paid().filter_map(of_bought).collect(),
        }
    }

    fn row(&self, evidence: &Evidence, name: &str, address: &str) -> Row {
        let held = |at: &BTreeMap<String, u128>| at.get(address).copied().unwrap_or_default();
        let pays = self.events.values().any(|movement| movement.from == address)
            || held(&evidence.before) > held(&evidence.after);
        let sum = |book: &Movements| {
            let ours = book
                .values()
                .filter(|movement| if pays { movement.from == address } else { movement.to == address });
            ours.map(|movement| movement.amount).sum()
        };
        let payments =
            self.events.values().filter(|movement| movement.from == address || movement.to == address);
        Row {
            name: name.to_owned(),
            address: address.to_owned(),
            pays,
            payments: payments.count() as u64,
            balance: held(&evidence.before).abs_diff(held(&evidence.after)),
            events: sum(&self.events),
            claims: sum(&self.claims),
            settlements: sum(&self.settlements),
            purchases: sum(&self.purchases),
        }
    }
}

fn of_sold(sold: &[Sold], state: &str) -> Movements {
    let of_state = sold.iter().filter(|sold| sold.state == state);
    of_state.map(|sold| (sold.payment.clone(), sold.movement.clone())).collect()
}

fn of_bought(bought: &Bought) -> Option<(String, Movement)> {
    Some((bought.payment.clone()?, bought.movement.clone()))
}

pub(super) fn table(evidence: &Evidence) -> Finding {
    let rows = rows(evidence);
    match rows.iter().find(|row| !row.agrees()) {
        Some(row) => Err(format!(
            "{}: the balance changed by {}, events {}, claims {}, settlements {}, purchases {}",
            row.name, row.balance, row.events, row.claims, row.settlements, row.purchases
        )),
        None => {
            let all = rows.last().map_or(0, |row| row.balance);
            Ok(format!("{} accounts; {all} base units moved", rows.len().saturating_sub(1)))
        }
    }
}

/// The same payments, with the same payer, payee and amount.
pub(super) fn payment_by_payment(evidence: &Evidence) -> Finding {
    let books = Books::of(evidence);
    let others = [
        ("the gateways' claims", &books.claims),
        ("the facilitators' settlements", &books.settlements),
        ("the wallets", &books.purchases),
    ];
    for (name, book) in others {
        same(&books.events, book).map_err(|why| format!("{name} and the chain: {why}"))?;
    }
    Ok(format!("{} payments, each in all four", books.events.len()))
}

fn same(chain: &Movements, book: &Movements) -> Result<(), String> {
    for (payment, movement) in chain {
        match book.get(payment) {
            None => return Err(format!("{payment} is on the chain only")),
            Some(other) if other != movement => {
                return Err(format!("{payment} is {other:?} there, {movement:?} on the chain"));
            }
            Some(_) => {}
        }
    }
    match book.keys().find(|payment| !chain.contains_key(*payment)) {
        Some(payment) => Err(format!("{payment} is not on the chain")),
        None => Ok(()),
    }
}

pub(super) fn nothing_else(evidence: &Evidence) -> Finding {
    let logs = &evidence.logs;
    match logs.strange.first() {
        Some(strange) => Err(strange.clone()),
        None => Ok(format!("{} authorizations used, {} transfers", logs.settled.len(), logs.transfers.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(amounts: &[(&str, u128)]) -> Movements {
        let movement = |amount| Movement { from: "0xa".into(), to: "0xb".into(), amount };
        amounts.iter().map(|(payment, amount)| ((*payment).to_owned(), movement(*amount))).collect()
    }

    #[test]
    fn a_unit_more_or_a_payment_less_is_noticed() {
        let chain = book(&[("p", 1), ("q", 2)]);
        assert!(same(&chain, &chain.clone()).is_ok());
        assert!(same(&chain, &book(&[("p", 1), ("q", 3)])).is_err());
        assert!(same(&chain, &book(&[("p", 1)])).is_err());
        assert!(same(&book(&[("p", 1)]), &chain).is_err());
    }

    #[test]
    fn a_row_agrees_when_every_book_does() {
        let row = Row {
            name: String::new(),
            address: String::new(),
            pays: true,
            payments: 1,
            balance: 5,
            events: 5,
            claims: 5,
            settlements: 5,
            purchases: 5,
        };
        assert!(row.agrees());
        assert!(!Row { claims: 4, ..row }.agrees());
    }
}
