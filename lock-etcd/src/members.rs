//! Which members of a cluster answer, and how many may fail.

use std::time::Duration;

use etcd_client::{Channel, Client, Error, Member, StatusResponse};
use lock_core::Finding;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Code;

use crate::builder::EtcdBackendBuilder;
use crate::preflight::{OPERATION, not_told, warning};
use crate::session::Session;

const CHECK: &str = "quorum";

/// Asks a member who the others are, and each of them whether it is there: that it is configured says little.
pub(crate) async fn quorum(session: &Session, answering: &[(usize, StatusResponse)]) -> Option<Finding> {
    let (index, _) = answering.first()?;
    let asked = session.ask(*index, OPERATION, &|mut link| async move { link.client.member_list().await }).await;
    let members: Vec<Member> = match asked {
        Ok(list) => list.members().iter().filter(|member| !member.is_learner()).cloned().collect(),
        Err(failed) => return Some(not_told(CHECK, &failed.into_error(OPERATION))),
    };
    let known: Vec<u64> = answering.iter().filter_map(|(_, status)| Some(status.header()?.member_id())).collect();
    let others = members.iter().filter(|member| !known.contains(&member.id())).cloned();
    let silent = silent(session, others.collect()).await;
    Some(judge(members.len(), &silent, session.endpoints()))
}

fn judge(count: usize, silent: &[String], endpoints: usize) -> Finding {
    let most = count / 2 + 1;
    let survives = count.saturating_sub(silent.len()).saturating_sub(most);
    if !silent.is_empty() {
        let what = format!("of {count} members {} may fail, besides {}", survives, silent.join(", "));
        let why = "these don't answer at the addresses that they advertise: they are down, or not reached from here";
        return warning(CHECK, what, why, "look with `etcdctl endpoint status --cluster`, and start what is down");
    }
    let what = format!("of {count} members {survives} may fail");
    if survives == 0 {
        let why = "when one member is down no lock can be acquired, and those held are lost after their TTL";
        return warning(CHECK, what, why, "run three members, or live with it");
    }
    if endpoints == 1 {
        let why = "only one endpoint is named: while that member is down, the others aren't asked";
        return warning(CHECK, what, why, "name all endpoints: etcd://h1:2379,h2:2379,h3:2379");
    }
    Finding::good(CHECK, what)
}

/// Those of the members that don't answer, asked all at once.
async fn silent(session: &Session, members: Vec<Member>) -> Vec<String> {
    let mut asking = JoinSet::new();
    for member in members {
        let (settings, limit) = (session.settings.clone(), session.limit());
        asking.spawn(async move { (!answers(&settings, &member, limit).await).then(|| name(&member)) });
    }
    let mut silent: Vec<String> = asking.join_all().await.into_iter().flatten().collect();
    silent.sort();
    silent
}

fn name(member: &Member) -> String {
    // One that was never started has no name.
    if member.name().is_empty() { format!("{:x}", member.id()) } else { member.name().to_owned() }
}

async fn answers(settings: &EtcdBackendBuilder, member: &Member, limit: Duration) -> bool {
    let addresses = member.client_urls().iter().filter_map(|url| url.split_once("://"));
    let asked = async {
        for (_, address) in addresses {
            let Ok(endpoint) = settings.endpoint(address) else { continue };
            // Without a user: an address that the server names gets no password, and a refusal is an answer, too.
            let Ok(mut client) = Client::from_channel(Channel::Tonic(endpoint.connect_lazy()), None).await else {
                continue;
            };
            match client.status().await {
                Ok(_) => return true,
                Err(Error::GRpcStatus(status))
                    if matches!(
                        status.code(),
                        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument
                    ) =>
                {
                    return true;
                }
                Err(_) => {}
            }
        }
        false
    };
    timeout(limit, asked).await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use lock_core::Severity;

    use super::*;

    #[test]
    fn members_that_do_not_answer_are_not_counted_on() {
        let down = |count: usize| (0..count).map(|n| format!("m{n}")).collect::<Vec<_>>();
        for (count, silent, endpoints, told, severity) in [
            (1, 0, 1, "of 1 members 0 may fail", Severity::Warning),
            (3, 0, 3, "of 3 members 1 may fail", Severity::Good),
            (3, 0, 1, "of 3 members 1 may fail", Severity::Warning),
            (3, 1, 3, "of 3 members 0 may fail, besides m0", Severity::Warning),
            (5, 1, 5, "of 5 members 1 may fail, besides m0", Severity::Warning),
            (5, 3, 5, "of 5 members 0 may fail, besides m0, m1, m2", Severity::Warning),
        ] {
            let finding = judge(count, &down(silent), endpoints);
            assert_eq!((finding.what(), finding.severity()), (told, severity));
        }
    }
}
