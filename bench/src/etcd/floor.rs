//! What the store itself costs, by the same driver.

use std::time::{Duration, Instant};

use etcd_client::{Client, Compare, CompareOp, EventType, LockOptions, PutOptions, Txn, TxnOp};

/// One put and one delete: two commits, which no lock of etcd's can do without.
pub(crate) async fn put_and_delete(client: &mut Client) -> anyhow::Result<()> {
    client.put("floor", "x", None).await?;
    client.delete("floor", None).await?;
    Ok(())
}

/// A lock with a lease of its own by the plain recipe: grant, transaction, revoke.
pub(crate) async fn recipe(client: &mut Client) -> anyhow::Result<()> {
    let lease = client.lease_grant(15, None).await?.id();
    let free = Compare::create_revision("recipe", CompareOp::Equal, 0);
    let put = TxnOp::put("recipe", "x", Some(PutOptions::new().with_lease(lease)));
    anyhow::ensure!(client.txn(Txn::new().when([free]).and_then([put])).await?.succeeded(), "it is free");
    client.lease_revoke(lease).await?;
    Ok(())
}

/// The server's own lock, with a lease of its own.
pub(crate) async fn server_lock(client: &mut Client) -> anyhow::Result<()> {
    let lease = client.lease_grant(15, None).await?.id();
    client.lock("server", Some(LockOptions::new().with_lease(lease))).await?;
    client.lease_revoke(lease).await?;
    Ok(())
}

/// From the call that deletes a key to another client's watch that tells of it, in microseconds; and until that client
/// has read the key as well, as who must be sure does. The key is there for as long as a lock is held: what was idle for
/// a while is slower than what is called again and again.
pub(crate) async fn delete_to_event(
    from: &mut Client,
    to: &mut Client,
    times: u32,
    hold: Duration,
) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let mut reader = to.clone();
    let mut watch = to.watch("event", None).await?;
    let (mut to_event, mut to_read) = (Vec::new(), Vec::new());
    for _ in 0..times {
        from.put("event", "x", None).await?;
        tokio::time::sleep(hold).await;
        let began = Instant::now();
        let deleting = from.delete("event", None);
        let told = async {
            while let Some(response) = watch.message().await? {
                if response.events().iter().any(|event| event.event_type() == EventType::Delete) {
                    let told = began.elapsed().as_secs_f64() * 1e6;
                    reader.get("event", None).await?;
                    return anyhow::Ok((told, began.elapsed().as_secs_f64() * 1e6));
                }
            }
            anyhow::bail!("the watch ended")
        };
        let (deleted, told) = tokio::join!(deleting, told);
        deleted?;
        let (event, read) = told?;
        to_event.push(event);
        to_read.push(read);
    }
    Ok((to_event, to_read))
}
