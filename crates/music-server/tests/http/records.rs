//! Tables and their records at the local replica.

use crate::fixture::Fixture;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_returned_as_it_was_put() {
    let fixture = Fixture::start().await;
    let path = "/v1/tables/kv/keys/greeting";
    let put = fixture
        .put(path)
        .header("content-type", "image/x-test")
        .body("\u{0}hi")
        .send()
        .await;
    let stamp = put.ok()["stamp"].as_u64().unwrap();
    let got = fixture.get(path).send().await;
    assert_eq!(
        (got.status.as_u16(), got.body.as_slice()),
        (200, &b"\0hi"[..])
    );
    assert_eq!(got.header("content-type"), "image/x-test");
    assert_eq!(got.header("music-stamp"), stamp.to_string());
    assert_eq!(got.header("music-site"), fixture.deployment.nodes()[0].site);

    let head = fixture.at(0, Method::HEAD, path).send().await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length")),
        (200, "3")
    );
    assert!(head.body.is_empty());

    let etag = got.header("etag").to_owned();
    let unchanged = fixture
        .get(path)
        .header("if-none-match", &etag)
        .send()
        .await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    fixture.put(path).body("other").send().await.ok();
    let changed = fixture
        .get(path)
        .header("if-none-match", &etag)
        .send()
        .await;
    assert_eq!(changed.body, b"other");
    assert_eq!(changed.header("content-type"), "application/octet-stream");

    fixture.delete(path).send().await.ok();
    assert_eq!(fixture.get(path).send().await.code(), "MUSIC-2004");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_bytes_are_a_key() {
    let fixture = Fixture::start().await;
    for key in ["a%2Fb", "%00%FF", "%E2%82%AC", "a%20b+c", "%25", "..%2F.."] {
        let path = format!("/v1/tables/kv/keys/{key}");
        fixture.put(&path).body(key.to_owned()).send().await.ok();
        assert_eq!(
            fixture.get(&path).send().await.body,
            key.as_bytes(),
            "{key}"
        );
    }
    let page = fixture
        .get("/v1/tables/kv/keys?prefix=%00")
        .send()
        .await
        .ok();
    assert_eq!(page["records"][0]["key"], json!({ "base64": "AP8=" }));
    assert_eq!(page["records"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_written_together_and_read_alone_or_all() {
    let fixture = Fixture::start().await;
    let path = "/v1/tables/kv/keys/person";
    let fields = json!({ "fields": {
        "name": { "text": "Ada" },
        "tags": { "json": ["a", 1] },
        "photo": { "base64": { "data": "AAEC", "content_type": "image/png" } },
        "": { "json": null },
    }});
    let stamp = fixture
        .patch(&format!("{path}/fields"))
        .json(&fields)
        .send()
        .await
        .ok()["stamp"]
        .as_u64();
    let record = fixture.get(&format!("{path}/fields")).send().await.ok();
    assert_eq!(record["key"], "person");
    assert_eq!(record["fields"], fields["fields"]);
    assert_eq!(record["stamp"].as_u64(), stamp);

    let photo = fixture.get(&format!("{path}?field=photo")).send().await;
    assert_eq!(
        (photo.header("content-type"), photo.body.as_slice()),
        ("image/png", &[0, 1, 2][..])
    );
    let name = fixture.get(&format!("{path}?field=name")).send().await;
    assert_eq!(name.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(fixture.get(path).send().await.body, b"null");

    let less = json!({ "fields": { "tags": null } });
    fixture
        .patch(&format!("{path}/fields"))
        .json(&less)
        .send()
        .await
        .ok();
    fixture
        .delete(&format!("{path}?field=photo"))
        .send()
        .await
        .ok();
    let record = fixture.get(&format!("{path}/fields")).send().await.ok();
    let names: Vec<_> = record["fields"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(names, ["", "name"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_paged_in_the_order_of_the_keys() {
    let fixture = Fixture::start().await;
    for number in 0..7 {
        fixture
            .put(&format!("/v1/tables/kv/keys/scan-{number}"))
            .body("x")
            .send()
            .await
            .ok();
    }
    fixture
        .put("/v1/tables/kv/keys/zebra")
        .body("x")
        .send()
        .await
        .ok();
    let (mut keys, mut query) = (Vec::new(), "?prefix=scan-&limit=3".to_owned());
    loop {
        let page = fixture
            .get(&format!("/v1/tables/kv/keys{query}"))
            .send()
            .await
            .ok();
        let records = page["records"].as_array().unwrap().clone();
        keys.extend(
            records
                .into_iter()
                .map(|record| record["key"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["cursor"].as_str() else {
            break;
        };
        query = format!("?prefix=scan-&limit=3&cursor={cursor}");
    }
    let expected: Vec<_> = (0..7).map(|number| format!("scan-{number}")).collect();
    assert_eq!(keys, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_large_values_ends_early() {
    let fixture = Fixture::start().await;
    for number in 0..20 {
        let path = format!("/v1/tables/kv/keys/large-{number:02}");
        fixture.put(&path).body(vec![7; 1 << 20]).send().await.ok();
    }
    let first = fixture
        .get("/v1/tables/kv/keys?limit=1000")
        .send()
        .await
        .ok();
    let cursor = first["cursor"].as_str().unwrap();
    let rest = fixture
        .get(&format!("/v1/tables/kv/keys?cursor={cursor}"))
        .send()
        .await
        .ok();
    let count = |page: &serde_json::Value| page["records"].as_array().unwrap().len();
    assert!(count(&first) < 20 && count(&first) + count(&rest) <= 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_created_found_listed_and_dropped() {
    let fixture = Fixture::start().await;
    let body = json!({ "mode": "eventual" });
    let created = fixture.put("/v1/tables/orders").json(&body).send().await;
    assert_eq!(
        (created.status.as_u16(), created.ok()["mode"].clone()),
        (201, json!("eventual"))
    );
    assert_eq!(
        fixture
            .put("/v1/tables/orders")
            .json(&body)
            .send()
            .await
            .status
            .as_u16(),
        200
    );
    let other = json!({ "mode": "critical" });
    assert_eq!(
        fixture
            .put("/v1/tables/orders")
            .json(&other)
            .send()
            .await
            .code(),
        "MUSIC-2003"
    );
    assert_eq!(
        fixture.get("/v1/tables/orders").send().await.ok()["name"],
        "orders"
    );

    let first = fixture.get("/v1/tables?limit=2").send().await.ok();
    assert_eq!(first["tables"].as_array().unwrap().len(), 2);
    let cursor = first["cursor"].as_str().unwrap();
    let rest = fixture
        .get(&format!("/v1/tables?cursor={cursor}"))
        .send()
        .await
        .ok();
    assert_eq!(rest["tables"][0]["name"], "orders");
    assert!(rest["cursor"].is_null());

    assert_eq!(
        fixture
            .delete("/v1/tables/orders")
            .send()
            .await
            .status
            .as_u16(),
        204
    );
    assert_eq!(
        fixture.get("/v1/tables/orders").send().await.code(),
        "MUSIC-2001"
    );
    assert_eq!(
        fixture.delete("/v1/tables/orders").send().await.code(),
        "MUSIC-2001"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_put_is_the_same_write() {
    let fixture = Fixture::start().await;
    let put = |body: &'static str| {
        let request = fixture
            .put("/v1/tables/kv/keys/once")
            .header("idempotency-key", "k1");
        request.body(body).send()
    };
    let first = put("a").await.ok();
    assert_eq!(put("a").await.ok(), first);
    assert_eq!(put("b").await.code(), "MUSIC-1012");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_browser_might_run_is_sandboxed() {
    let fixture = Fixture::start().await;
    let path = "/v1/tables/kv/keys/page";
    fixture
        .put(path)
        .header("content-type", "text/html")
        .body("<script>")
        .send()
        .await
        .ok();
    let got = fixture.get(path).send().await;
    assert_eq!(got.header("content-security-policy"), "sandbox");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
}
