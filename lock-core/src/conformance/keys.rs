//! Keys: each text is a lock of its own.

use super::kit::{Kit, Trouble, ensure};
use crate::{AcquireRequest, Grant, LockKey};

pub(super) async fn strange_keys_stay_distinct(kit: &Kit<'_>) -> Result<(), Trouble> {
    let keys = [
        "x",
        "../x",
        "..",
        ".",
        "./x",
        "/x",
        "x/",
        "x//",
        "x.",
        "x..",
        " x",
        "x ",
        "x\0",
        "\0x",
        "x\0y",
        "x\n",
        "x\ny",
        "x\r\n",
        "\t",
        "é",
        "e\u{301}",
        "日本",
        "*",
        "x*",
        "?",
        "[x]",
        "{}",
        "{x}",
        "}x",
        "%2F",
        "%",
        "\\x",
        "x\\y",
        "CON",
        "con.txt",
        "~",
        "-x",
        "--",
        "\"x\"",
        "'x'",
        "$x",
        "#x",
        "x?a=b&c",
        "x;y",
        "\u{202e}x",
        "\u{feff}x",
    ];
    all_distinct(kit, keys.map(str::to_owned).to_vec()).await
}

pub(super) async fn keys_of_one_family_are_independent(kit: &Kit<'_>) -> Result<(), Trouble> {
    let keys = ["a", "a/", "a/b", "a//b", "a/b/c", "a:fence", "a:queue", "a.lock", "a~", "a/0", "ab", "a b"];
    all_distinct(kit, keys.map(str::to_owned).to_vec()).await
}

pub(super) async fn keys_differing_in_case_are_distinct(kit: &Kit<'_>) -> Result<(), Trouble> {
    all_distinct(kit, ["name", "NAME", "Name", "é", "É", "ß", "ss", "SS"].map(str::to_owned).to_vec()).await
}

pub(super) async fn keys_that_look_encoded_are_distinct(kit: &Kit<'_>) -> Result<(), Trouble> {
    let mut keys = Vec::new();
    for text in ["a/b", ".", "é", "A\0"] {
        let mut text = text.to_owned();
        for _ in 0..3 {
            keys.push(text.clone());
            text = percent(&text);
        }
        keys.push(keys[keys.len() - 2].to_lowercase() + "!");
    }
    keys.extend(["a%2fb", "a_b", "a-b", "a+b", "a\\x2fb", "a&#47;b"].map(str::to_owned));
    all_distinct(kit, keys).await
}

pub(super) async fn longest_keys_are_distinct(kit: &Kit<'_>) -> Result<(), Trouble> {
    let fill = |unit: &str, len: usize| unit.repeat(len / unit.len());
    let mut keys = Vec::new();
    for unit in ["k", "/", "é"] {
        let (all, less) = (fill(unit, LockKey::MAX_LEN), fill(unit, LockKey::MAX_LEN - 2));
        keys.extend([format!("{less}aa"), format!("{less}bb"), format!("aa{less}"), format!("bb{less}"), less, all]);
    }
    // Longer than what a file name may have, and the same up to there.
    keys.extend([200, 240, 254, 255, 256, 300].map(|len| fill("n", len)));
    all_distinct(kit, keys).await
}

/// Holds all keys at once, each as another owner; then lets every second one go.
async fn all_distinct(kit: &Kit<'_>, keys: Vec<String>) -> Result<(), Trouble> {
    let mut held: Vec<(AcquireRequest, Grant)> = Vec::new();
    for (n, text) in keys.into_iter().enumerate() {
        let key = LockKey::new(text).map_err(|error| Trouble::Broken(error.to_string()))?;
        let request = kit.request(&key);
        let client = if n % 2 == 0 { &kit.a } else { &kit.b };
        let grant = client.granted(&request).await?;
        held.push((request, grant));
    }
    for (request, grant) in &held {
        let seen = kit.b.refused(&kit.request(request.key())).await?;
        let told = (seen.record().key(), seen.record().token());
        ensure!(told == (request.key(), Some(grant.token())), "{:?} is said to be held as {told:?}", request.key());
        if kit.a.admin().is_some() {
            let owner = kit.a.inspect(request.key()).await?.map(|record| (record.key().clone(), record.owner()));
            let real = Some((request.key().clone(), Some(request.owner())));
            ensure!(owner == real, "{:?} has the holder {real:?}, inspect says {owner:?}", request.key());
        }
    }
    for (n, (request, _)) in held.iter().enumerate().filter(|(n, _)| n % 2 == 1) {
        let client = if n % 2 == 0 { &kit.a } else { &kit.b };
        client.released(request).await?;
    }
    for (n, (request, grant)) in held.iter().enumerate() {
        if n % 2 == 0 {
            kit.a.renewed(request, grant).await?;
        } else {
            kit.b.granted_within(&kit.request(request.key()), kit.soon()).await?;
        }
    }
    Ok(())
}

/// Percent-encoding as many stores' clients do it.
fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
