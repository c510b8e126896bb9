//! A loss is final, has a cause, and is told in time.

use super::disturbed::PROMPT;
use super::holding::{Acquisition, Holding, Story, s};
use crate::simulation::clock::Nanos;
use crate::simulation::history::Op;

/// After a resume, a loss is told within this.
const AFTER_A_RESUME: Nanos = 520_000_000;

pub(super) fn check(story: &Story) -> Vec<String> {
    story.holdings().flat_map(|(op, acquisition, holding)| of_one(story, op, acquisition, holding)).collect()
}

fn of_one(story: &Story, op: Op, acquisition: &Acquisition, holding: &Holding) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(at) = holding.revived {
        found.push(format!("(b) #{op} was lost, and is held again at {}", s(at)));
    }
    if let Some((at, until)) = holding.looks.iter().find(|(at, until)| until <= at && *at > holding.returned) {
        found.push(format!("(b) #{op} said at {} that it is held, with nothing left ({})", s(*at), s(*until)));
    }
    let promised = holding.promised();
    if let Some((at, reason, told)) = holding.lost {
        let without_cause = match reason {
            "taken-away" => {
                let heard = story.heard(acquisition.client, at);
                story.gone(holding.owner, 0).is_none_or(|gone| gone > at)
                    && !story.excuses_within(holding.owner, heard, at)
            }
            // Its renewals had most of a TTL to succeed in.
            "expired" => {
                let calm = at.saturating_sub(story.ttl * 8 / 10);
                !story.excuses(holding.owner, at) && !story.was_disturbed(acquisition.client, calm, at)
            }
            "released" => true,
            _ => false,
        };
        if without_cause {
            found.push(format!("(e) #{op} was lost ({reason}) at {} without any cause", s(at)));
        }
        if told && matches!(reason, "expired" | "max-hold") && at > promised.max(holding.listened) + PROMPT {
            let slept = story.stood_still(acquisition.client, promised.saturating_sub(AFTER_A_RESUME), at);
            if !slept {
                found.push(format!("(b) #{op} was lost at {} and told so at {} only", s(promised), s(at)));
            }
        }
    }
    if let Some((at, "lost")) = holding.released
        && let Some(let_go) = holding.let_go
        && holding.lost.is_none()
        && let_go < promised
        && !story.excuses(holding.owner, at)
        && story.gone(holding.owner, 0).is_none()
        // A shutdown under way may have let it go first.
        && holding.shut_down.is_none_or(|shut_down| shut_down > at)
        && !story.stood_still(acquisition.client, let_go, at)
        && at < promised
    {
        found.push(format!("(e) #{op} was released at {}, before its end, and told that it was lost", s(at)));
    }
    found
}
