//! (a) Tokens are unique, and greater for each later grant.

use std::collections::HashMap;

use super::holding::{Story, s};

pub(super) fn check(story: &Story) -> Vec<String> {
    let mut found = of_one_supervisor(story);
    found.extend(of_all(story));
    found
}

/// Whatever the store did: no supervisor hands out a token that isn't greater than the one before.
fn of_one_supervisor(story: &Story) -> Vec<String> {
    let mut holdings: Vec<_> = story.holdings().collect();
    holdings.sort_by_key(|(_, _, holding)| holding.returned);
    let mut greatest = HashMap::new();
    let mut found = Vec::new();
    for (op, acquisition, holding) in holdings {
        let place = (acquisition.client, holding.supervisor, &acquisition.key);
        if let Some((before, token)) = greatest.insert(place, (op, holding.token))
            && token >= holding.token
        {
            found.push(format!("(a) #{op} was handed out with token {}, after #{before} with {token}", holding.token));
        }
    }
    found
}

/// If one acquire returned before another was called, its token is less.
fn of_all(story: &Story) -> Vec<String> {
    let mut returns: Vec<_> = story.holdings().collect();
    returns.sort_by_key(|(_, _, holding)| holding.returned);
    let mut calls: Vec<_> = story.holdings().collect();
    calls.sort_by_key(|(_, acquisition, _)| acquisition.invoked);
    let mut returned = returns.into_iter().peekable();
    let mut greatest: HashMap<&str, (usize, u64)> = HashMap::new();
    let mut found = Vec::new();
    for (op, acquisition, holding) in calls {
        while let Some((before, other, held)) = returned.next_if(|(_, _, held)| held.returned < acquisition.invoked) {
            let place = greatest.entry(&other.key).or_insert((before, held.token));
            if place.1 < held.token {
                *place = (before, held.token);
            }
        }
        // A store whose clock went back and which then lost its data can't know; that is what a supervisor's own
        // memory and the resource's gate are for.
        let excused = story.clock_went_back.is_some_and(|at| at < holding.returned);
        if let Some((before, token)) = greatest.get(&*acquisition.key)
            && *token >= holding.token
            && !excused
        {
            found.push(format!(
                "(a) #{op}, called at {}, has token {}; #{before} had {token} before",
                s(acquisition.invoked),
                holding.token
            ));
        }
    }
    found
}
