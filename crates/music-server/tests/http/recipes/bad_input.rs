//! Each way to ask recipes for nonsense has a clear refusal.

use music_api::problem::Outcome;
use reqwest::Method;
use serde_json::{Value, json};

use super::{at, post};
use crate::fixture::{Fixture, Request};

/// Refused, nothing changed, and the detail says something.
async fn code(request: Request) -> String {
    let problem = request.send().await.problem();
    assert_eq!(problem.outcome, Outcome::NotApplied);
    assert!(problem.detail.len() >= 20, "{}", problem.detail);
    assert!(!problem.retryable, "{problem:?}");
    problem.code
}

async fn all(fixture: &Fixture, refusals: &[(Method, &str, Value, &str)]) {
    for (method, recipe, body, expected) in refusals {
        let request = at(fixture, 0, method.clone(), recipe).json(body);
        assert_eq!(code(request).await, *expected, "{method} {recipe} {body}");
    }
}

/// A body that each route takes.
fn bodies() -> Vec<(Method, &'static str, Value)> {
    let lock_ref = "AAAA";
    let value = json!({ "text": "x" });
    vec![
        (Method::POST, "counters/n/add", json!({ "number": 1 })),
        (Method::PUT, "counters/n", json!({ "number": 1 })),
        (Method::PUT, "registers/n", json!({ "value": value })),
        (Method::POST, "latches/n/count-down", json!({ "count": 1 })),
        (Method::POST, "latches/n/wait", json!({ "count": 1 })),
        (Method::POST, "barriers/n/wait", json!({ "parties": 1 })),
        (
            Method::POST,
            "double-barriers/n/enter",
            json!({ "parties": 1, "party": "a" }),
        ),
        (
            Method::POST,
            "double-barriers/n/leave",
            json!({ "parties": 1, "party": "a" }),
        ),
        (
            Method::POST,
            "semaphores/n/acquire",
            json!({ "permits": 1 }),
        ),
        (
            Method::POST,
            "elections/n/campaign",
            json!({ "candidate": "a" }),
        ),
        (
            Method::POST,
            "elections/n/proclaim",
            json!({ "lock_ref": lock_ref, "value": value }),
        ),
        (
            Method::POST,
            "elections/n/resign",
            json!({ "lock_ref": lock_ref }),
        ),
        (Method::PUT, "groups/n/members/m", json!({ "value": value })),
        (Method::POST, "once/n/begin", json!({})),
        (
            Method::POST,
            "once/n/done",
            json!({ "lock_ref": lock_ref, "result": 1 }),
        ),
        (
            Method::POST,
            "once/n/undone",
            json!({ "lock_ref": lock_ref }),
        ),
        (Method::POST, "once/n/settle", json!({ "result": 1 })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_names_of_no_route() {
    let fixture = Fixture::start().await;
    let long = "n".repeat(901);
    for (method, recipe, body) in bodies() {
        let request = |recipe: &str| at(&fixture, 0, method.clone(), recipe);
        let mut unknown = body.clone();
        unknown["unknown"] = json!(1);
        for text in ["", "{", "null", "7", &unknown.to_string()] {
            if text.is_empty() && (recipe.ends_with("begin") || recipe.starts_with("groups")) {
                continue;
            }
            let malformed = request(recipe).header("content-type", "application/json");
            let refused = code(malformed.body(text.to_owned())).await;
            assert_eq!(refused, "MUSIC-1001", "{recipe} {text}");
        }
        let plain = request(recipe).header("content-type", "text/plain");
        assert_eq!(code(plain.body("x")).await, "MUSIC-1006", "{recipe}");
        let query = request(&format!("{recipe}?x=1")).json(&body);
        assert_eq!(code(query).await, "MUSIC-1002", "{recipe}");
        for name in [&*long, "%FF", "%zz"] {
            let named = recipe.replacen("/n", &format!("/{name}"), 1);
            assert_eq!(
                code(request(&named).json(&body)).await,
                "MUSIC-6001",
                "{named}"
            );
        }
        let nameless = recipe.replacen("/n", "/", 1);
        let refused = code(request(&nameless).json(&body)).await;
        assert!(
            ["MUSIC-1003", "MUSIC-6001"].contains(&&*refused),
            "{nameless}: {refused}"
        );
    }
    for recipe in ["counters/", "registers/", "elections/", "once/"] {
        let request = at(&fixture, 0, Method::GET, &format!("{recipe}{long}"));
        assert_eq!(code(request).await, "MUSIC-6001");
    }
    for recipe in ["barriers/", "elections/", "groups/"] {
        let request = at(&fixture, 0, Method::GET, &format!("{recipe}{long}/events"));
        assert_eq!(code(request).await, "MUSIC-6001");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_make_no_sense() {
    let fixture = Fixture::start().await;
    let counted = [
        ("latches/n/count-down", "count", 1_u64 << 40),
        ("latches/n/wait", "count", 1 << 40),
        ("barriers/n/wait", "parties", 4_096),
        ("double-barriers/n/enter", "parties", 4_096),
        ("double-barriers/n/leave", "parties", 4_096),
        ("semaphores/n/acquire", "permits", 128),
    ];
    for (recipe, field, max) in counted {
        let with = |number: Value| {
            let mut body = json!({});
            if recipe.starts_with("double") {
                body["party"] = json!("a");
            }
            body[field] = number;
            at(&fixture, 0, Method::POST, recipe).json(&body)
        };
        for number in [json!(0), json!(max + 1), json!(u64::MAX)] {
            assert_eq!(code(with(number)).await, "MUSIC-1014", "{recipe}");
        }
        for number in [json!(-1), json!(1.5), json!("1"), json!(null)] {
            assert_eq!(code(with(number)).await, "MUSIC-1001", "{recipe}");
        }
    }
    for (query, expected) in [
        ("", "MUSIC-1002"),
        ("?count=0", "MUSIC-1014"),
        ("?count=-1", "MUSIC-1014"),
        ("?count=x", "MUSIC-1014"),
        ("?count=1099511627777", "MUSIC-1014"),
    ] {
        let request = at(&fixture, 0, Method::GET, &format!("latches/n{query}"));
        assert_eq!(code(request).await, expected, "{query}");
    }
    for number in [0, 3, u64::MAX] {
        let body = json!({ "permits": 2, "number": number });
        let request = at(&fixture, 0, Method::POST, "semaphores/n/acquire").json(&body);
        assert_eq!(code(request).await, "MUSIC-1014", "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_and_leases_beyond_their_bounds() {
    let fixture = Fixture::start().await;
    for (method, recipe, body) in bodies() {
        let takes_wait = ["wait", "enter", "leave", "acquire", "campaign", "begin"];
        let takes_lease = ["acquire", "campaign", "begin", "m"];
        let last = recipe.rsplit('/').next().unwrap();
        for (field, value, takes) in [
            ("wait_ms", json!(3_600_001), &takes_wait[..]),
            ("lease_ms", json!(1), &takes_lease[..]),
            ("lease_ms", json!(u64::MAX), &takes_lease[..]),
        ] {
            let mut body = body.clone();
            body[field] = value;
            let expected = if takes.contains(&last) {
                "MUSIC-1014"
            } else {
                "MUSIC-1001"
            };
            let request = at(&fixture, 0, method.clone(), recipe).json(&body);
            assert_eq!(code(request).await, expected, "{recipe} {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_values_beyond_their_bounds() {
    let fixture = Fixture::start().await;
    let (post, put) = (Method::POST, Method::PUT);
    let long = "n".repeat(257);
    let large = json!({ "text": "v".repeat(300_000) });
    let deep = format!("{}1{}", "[".repeat(110), "]".repeat(110));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let result = |result| json!({ "result": result });
    let party = |party| json!({ "parties": 2, "party": party });
    let member = format!("groups/n/members/{}", "m".repeat(101));
    let bad = json!({ "base64": { "data": "?" } });
    let resign = json!({ "lock_ref": "AAAA", "hand_over_to": "" });
    all(
        &fixture,
        &[
            (post.clone(), "barriers/n/wait", party(""), "MUSIC-6001"),
            (post.clone(), "barriers/n/wait", party(&long), "MUSIC-6001"),
            (
                post.clone(),
                "double-barriers/n/enter",
                party(&long),
                "MUSIC-6001",
            ),
            (
                post.clone(),
                "elections/n/campaign",
                json!({ "candidate": "" }),
                "MUSIC-6001",
            ),
            (
                post.clone(),
                "elections/n/campaign",
                json!({ "candidate": long }),
                "MUSIC-6001",
            ),
            (post.clone(), "elections/n/resign", resign, "MUSIC-6001"),
            (put.clone(), &member, json!({}), "MUSIC-6001"),
            (
                put.clone(),
                "registers/n",
                json!({ "value": large }),
                "MUSIC-1010",
            ),
            (
                put.clone(),
                "registers/n",
                json!({ "value": bad }),
                "MUSIC-1017",
            ),
            (
                put.clone(),
                "registers/n",
                json!({ "value": null }),
                "MUSIC-1001",
            ),
            (
                put,
                "groups/n/members/m",
                json!({ "value": large }),
                "MUSIC-1010",
            ),
            (post.clone(), "once/n/settle", result(large), "MUSIC-1010"),
            (post, "once/n/settle", result(deep), "MUSIC-1017"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_on_which_others_do_not_agree() {
    let fixture = Fixture::start().await;
    post(&fixture, 1, "latches/n/count-down", json!({ "count": 2 })).await;
    let short = |mut body: Value| {
        body["wait_ms"] = json!(100);
        body
    };
    post(
        &fixture,
        1,
        "barriers/n/wait",
        short(json!({ "parties": 2 })),
    )
    .await;
    let party = json!({ "parties": 2, "party": "a" });
    post(&fixture, 1, "double-barriers/n/enter", short(party)).await;
    post(&fixture, 1, "semaphores/n/acquire", json!({ "permits": 2 })).await;
    let three = json!({ "parties": 3, "party": "a" });
    let post = Method::POST;
    all(
        &fixture,
        &[
            (
                post.clone(),
                "latches/n/count-down",
                json!({ "count": 3 }),
                "MUSIC-6002",
            ),
            (Method::GET, "latches/n?count=3", Value::Null, "MUSIC-6002"),
            (post.clone(), "barriers/n/wait", three.clone(), "MUSIC-6002"),
            (post.clone(), "double-barriers/n/enter", three, "MUSIC-6002"),
            (
                post,
                "semaphores/n/acquire",
                json!({ "permits": 3 }),
                "MUSIC-6002",
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ref_of_something_else() {
    let fixture = Fixture::start().await;
    let leader = post(
        &fixture,
        0,
        "elections/e/campaign",
        json!({ "candidate": "a" }),
    )
    .await;
    let step = post(&fixture, 0, "once/o/begin", json!({})).await;
    let plain = json!(fixture.lock(0, &["election/e"]).await);
    let held = json!({ "keys": [{ "table": "recipes", "key": "election/f" }], "wait_ms": 5_000 });
    let held = fixture.post("/v1/locks").json(&held).send().await.ok();
    let uses = |lock_ref: &Value, name: &str| {
        let mut body = json!({ "lock_ref": lock_ref });
        let resign = (format!("elections/{name}/resign"), body.clone());
        let undone = (format!("once/{name}/undone"), body.clone());
        body["result"] = json!(1);
        let done = (format!("once/{name}/done"), body.clone());
        body["value"] = json!({ "text": "x" });
        body.as_object_mut().unwrap().remove("result");
        let proclaim = (format!("elections/{name}/proclaim"), body);
        [resign, undone, done, proclaim]
    };
    let foreign = [
        (&leader["lock_ref"], "f"),
        (&step["lock_ref"], "e"),
        (&plain, "e"),
        (&held["lock_ref"], "f"),
    ];
    for (lock_ref, name) in foreign {
        for (recipe, body) in uses(lock_ref, name) {
            let request = at(&fixture, 0, Method::POST, &recipe).json(&body);
            let problem = request.send().await.problem();
            assert_eq!(problem.code, "MUSIC-6003", "{recipe}: {}", problem.detail);
        }
    }
    for (recipe, body) in uses(&json!("AAAA"), "e") {
        let request = at(&fixture, 0, Method::POST, &recipe).json(&body);
        assert_eq!(code(request).await, "MUSIC-1015", "{recipe}");
    }
    // None of them was let go by it.
    for lock_ref in [
        &leader["lock_ref"],
        &step["lock_ref"],
        &plain,
        &held["lock_ref"],
    ] {
        let path = format!("/v1/locks/{}", lock_ref.as_str().unwrap());
        assert_eq!(fixture.get(&path).send().await.ok()["state"], "granted");
    }
    let release = format!("/v1/locks/{}/release", step["lock_ref"].as_str().unwrap());
    fixture.post(&release).send().await.ok();
    let body = json!({ "lock_ref": step["lock_ref"], "result": 1 });
    let request = at(&fixture, 0, Method::POST, "once/o/done").json(&body);
    assert_eq!(code(request).await, "MUSIC-3002");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_no_recipe_wrote() {
    let fixture = Fixture::start().await;
    post(&fixture, 0, "counters/other/add", json!({ "number": 1 })).await;
    let key = json!({ "table": "recipes", "key": "counter/n" });
    let put = json!({
        "op": "put", "table": "recipes", "key": "counter/n", "fields": { "": { "text": "x" } },
    });
    let run = json!({ "keys": [key], "then": [put] });
    fixture.post("/v1/run").json(&run).send().await.ok();
    let request = at(&fixture, 0, Method::GET, "counters/n");
    assert_eq!(code(request).await, "MUSIC-6004");
}
