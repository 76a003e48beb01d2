//! Runs the Rust crate hf-hub: takes one call a line as JSON, gives its result or error back.

use std::io::{BufRead, Write};

use hf_hub::repository::RepoTypeAny;
use hf_hub::{HFClient, HFClientSync, HFError, HFResult};
use serde_json::{json, Value};

fn text(arguments: &Value, name: &str) -> Option<String> {
    arguments[name].as_str().map(str::to_string)
}

/// One file where a file name was given, else everything.
fn download(client: &HFClientSync, arguments: &Value) -> HFResult<Value> {
    let id = text(arguments, "id").expect("an id");
    let kind: RepoTypeAny = text(arguments, "type").expect("a type").parse()?;
    let (owner, name) = hf_hub::split_id(&id);
    let repository = client.repository(kind, owner, name);
    let revision = text(arguments, "revision");
    let offline = arguments["local_files_only"] == true;
    let path = match text(arguments, "filename") {
        Some(filename) => {
            repository.download_file().filename(filename).maybe_revision(revision).local_files_only(offline).send()?
        }
        None => repository.snapshot_download().maybe_revision(revision).local_files_only(offline).send()?,
    };
    Ok(json!(path))
}

/// Every file of the cache.
fn scan(client: &HFClientSync) -> HFResult<Value> {
    let found = client.scan_cache().send()?;
    let mut files = Vec::new();
    for repository in &found.repos {
        for revision in &repository.revisions {
            for file in &revision.files {
                files.push(json!({"type": repository.repo_type, "id": repository.repo_id, "commit": revision.commit_hash,
                                  "path": file.file_name, "bytes": file.size_on_disk, "blob": file.blob_path}));
            }
        }
    }
    Ok(json!({"files": files, "warnings": found.warnings}))
}

fn answer(asked: &Value) -> HFResult<Value> {
    let arguments = &asked["arguments"];
    let client = HFClient::builder().cache_dir(text(arguments, "cache_dir").expect("a cache")).build_sync()?;
    match asked["call"].as_str() {
        Some("download") => download(&client, arguments),
        Some("scan") => scan(&client),
        _ => panic!("no such call: {asked}"),
    }
}

/// An error shows itself to developers with its kind as the first word.
fn describe(error: &HFError) -> Value {
    let shown = format!("{error:?}");
    let kind = shown.split(|one: char| !one.is_alphanumeric()).next();
    json!({"classes": [kind], "message": error.to_string(), "status": null})
}

fn main() {
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let said = match answer(&asked) {
            Ok(result) => json!({"result": result}),
            Err(error) => json!({"error": describe(&error)}),
        };
        let mut output = std::io::stdout().lock();
        writeln!(output, "{said}").and_then(|()| output.flush()).expect("an open output");
    }
}
