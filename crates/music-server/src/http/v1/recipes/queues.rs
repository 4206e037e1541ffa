//! `/v1/recipes/queues/{name}`: work for takers at all sites.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use music_api::code::Code;
use music_api::recipe::queue::{
    GiveItemBack, ItemDone, ItemSettled, ItemsPushed, ItemsTaken, PushItem, PushItems, RenewClaim,
    TakeItems, TakenItem, WorkQueue,
};
use music_client::recipes::{Item, Push, Queue};

use super::{change, wait, wait_of};
use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{IdempotencyHeader, Problems, RecipePath};
use crate::http::problem::Failure;
use crate::http::repeat::Repeat;
use crate::http::request::{JsonBody, OptionalJsonBody, Query as UrlQuery, RecipeAt};
use crate::http::respond::{self, Answer};

/// How many items are pushed by one request.
const PUSHED_MAX: usize = 256;

/// The largest item, in bytes.
const ITEM_BYTES_MAX: usize = 16 * 1024;

/// Tells how many items a queue has, as this site knows it.
#[utoipa::path(
    get,
    path = "/v1/recipes/queues/{name}",
    tag = "recipes",
    description = "Asks no majority.",
    params(RecipePath),
    responses((status = OK, body = WorkQueue, description = "How long it is."), Problems)
)]
pub(crate) async fn get_work_queue(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: UrlQuery,
) -> Answer {
    query.only(&[])?;
    let queue = Queue::new(&app.client, &name)?;
    let length = wait(&app, async { queue.len().await }).await?;
    respond::ok(&WorkQueue {
        length: length as u64,
    })
}

/// Pushes items.
#[utoipa::path(
    post,
    path = "/v1/recipes/queues/{name}/push",
    tag = "recipes",
    description = "Where it fails in the middle, any first part of the items may be pushed.",
    params(RecipePath, IdempotencyHeader),
    request_body = PushItems,
    responses((status = OK, body = ItemsPushed, description = "All are pushed."), Problems)
)]
pub(crate) async fn push_items(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: UrlQuery,
    repeat: Repeat,
    JsonBody(body): JsonBody<PushItems>,
) -> Answer {
    query.only(&[])?;
    let queue = Queue::new(&app.client, &name)?;
    if !(1..=PUSHED_MAX).contains(&body.items.len()) {
        let detail = format!("A request pushes 1 to {PUSHED_MAX} items.");
        return Err(Failure::new(Code::OutOfRange, detail));
    }
    let items = body.items.iter().map(|item| push_of(&app, item));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let push = async move {
        let pushed = items.len() as u64;
        queue.push_all(items).await?;
        Ok(ItemsPushed { pushed })
    };
    change(&app, repeat, &body, push).await
}

fn push_of(app: &App, item: &PushItem) -> Result<Push, Failure> {
    let max = ITEM_BYTES_MAX.min(app.config.cluster.value_bytes_max);
    let push = Push::new(convert::content(&item.value, max)?);
    let delay = Duration::from_millis(item.delay_ms);
    Ok(push.priority(item.priority).delay(delay))
}

/// Waits for items and takes them.
#[utoipa::path(
    post,
    path = "/v1/recipes/queues/{name}/take",
    tag = "recipes",
    description = "Each is this taker's until it says `done`, gives it back, or lets its claim \
        lapse: then it is delivered again, under a higher token.",
    params(RecipePath),
    request_body = Option<TakeItems>,
    responses((status = OK, body = ItemsTaken, description = "The items, if any."), Problems)
)]
pub(crate) async fn take_items(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: UrlQuery,
    OptionalJsonBody(body): OptionalJsonBody<TakeItems>,
) -> Answer {
    query.only(&[])?;
    let mut taker = Queue::new(&app.client, &name)?.taker();
    if let Some(claim_ms) = body.claim_ms {
        taker = taker.claim(Duration::from_millis(claim_ms))?;
    }
    let most = usize::try_from(body.most.unwrap_or(1)).unwrap_or(usize::MAX);
    let limit = wait_of(&app, body.wait_ms)?;
    let items = wait(&app, async { taker.take_up_to_within(most, limit).await }).await?;
    let items = items.iter().map(taken).collect();
    respond::ok(&ItemsTaken { items })
}

fn taken(item: &Item) -> TakenItem {
    let value = item.content().map(music_client::Content::to_value);
    TakenItem {
        id: item.id(),
        token: item.token(),
        deliveries: item.deliveries(),
        value: value.unwrap_or(music_api::name::Value::Text(String::new())),
    }
}

/// Says that an item is done: it is never delivered again.
#[utoipa::path(
    post,
    path = "/v1/recipes/queues/{name}/done",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = ItemDone,
    responses((status = OK, body = ItemSettled, description = "It is done."), Problems)
)]
pub(crate) async fn item_done(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: UrlQuery,
    repeat: Repeat,
    JsonBody(body): JsonBody<ItemDone>,
) -> Answer {
    query.only(&[])?;
    let item = Queue::new(&app.client, &name)?.item(&body.id, body.token)?;
    let done = async move {
        item.done().await?;
        Ok(settled(&item))
    };
    change(&app, repeat, &body, done).await
}

/// Gives an item back, to be taken by others.
#[utoipa::path(
    post,
    path = "/v1/recipes/queues/{name}/give-back",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = GiveItemBack,
    responses((status = OK, body = ItemSettled, description = "It is given back."), Problems)
)]
pub(crate) async fn give_item_back(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: UrlQuery,
    repeat: Repeat,
    JsonBody(body): JsonBody<GiveItemBack>,
) -> Answer {
    query.only(&[])?;
    let item = Queue::new(&app.client, &name)?.item(&body.id, body.token)?;
    let after = Duration::from_millis(body.after_ms);
    let give_back = async move {
        item.give_back(after).await?;
        Ok(settled(&item))
    };
    change(&app, repeat, &body, give_back).await
}

/// Renews a claim.
#[utoipa::path(
    post,
    path = "/v1/recipes/queues/{name}/renew",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = RenewClaim,
    responses((status = OK, body = ItemSettled, description = "It is renewed."), Problems)
)]
pub(crate) async fn renew_claim(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: UrlQuery,
    repeat: Repeat,
    JsonBody(body): JsonBody<RenewClaim>,
) -> Answer {
    query.only(&[])?;
    let item = Queue::new(&app.client, &name)?.item(&body.id, body.token)?;
    let claim = Duration::from_millis(body.claim_ms);
    let renew = async move {
        item.renew(claim).await?;
        Ok(settled(&item))
    };
    change(&app, repeat, &body, renew).await
}

fn settled(item: &Item) -> ItemSettled {
    ItemSettled { id: item.id() }
}
