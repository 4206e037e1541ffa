//! The extended protocol: parse, bind, describe, execute, sync.

use std::collections::VecDeque;
use std::io;

use futures_util::SinkExt;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete,
    PortalSuspended,
};
use pgwire::messages::response::EmptyQueryResponse;
use pgwire::messages::{PgWireBackendMessage as Message, PgWireFrontendMessage as Request};

use super::connection::{Connection, Failure};
use super::copy_in::CopyIn;
use super::message;
use crate::dialect::Output;
use crate::error::{SqlError, state};
use crate::session::Prepared;
use crate::types::{Base, SqlType, Value};

/// Portals of one session.
const PORTALS_MAX: usize = 1000;

/// A statement with its parameters, and what is left of its rows.
pub(super) struct Portal {
    prepared: Prepared,
    parameters: Vec<Value>,
    format_codes: Vec<i16>,
    started: Option<Started>,
}

/// What a portal has answered, and what not yet.
struct Started {
    columns: Vec<Output>,
    rows: VecDeque<Vec<Value>>,
    tag: String,
}

impl Connection {
    pub(super) async fn extended(&mut self, request: Request) -> Result<(), Failure> {
        match request {
            Request::Parse(parse) => self.parse(parse).await,
            Request::Bind(bind) => self.bind(bind).await,
            Request::Describe(describe) => self.describe(describe).await,
            Request::Execute(execute) => self.execute(execute).await,
            Request::Close(close) => self.close(close).await,
            _ => Err(SqlError::new(state::PROTOCOL_VIOLATION, "unexpected message").into()),
        }
    }

    async fn parse(&mut self, parse: Parse) -> Result<(), Failure> {
        let mut types = Vec::new();
        for oid in parse.type_oids {
            types.push(match SqlType::by_oid(oid) {
                Some(ty) if ty != SqlType::of(Base::Unknown) => Some(ty),
                None if oid != 0 => {
                    return Err(SqlError::refused(format!(
                        "a parameter of the type with the oid {oid}"
                    ))
                    .into());
                }
                _ => None,
            });
        }
        let name = parse.name.unwrap_or_default();
        self.session.prepare(name, parse.query, &types).await?;
        self.tell(Message::ParseComplete(ParseComplete::new()))
            .await?;
        Ok(())
    }

    async fn bind(&mut self, bind: Bind) -> Result<(), Failure> {
        let name = bind.portal_name.unwrap_or_default();
        if !name.is_empty()
            && (self.portals.contains_key(&name) || self.portals.len() >= PORTALS_MAX)
        {
            return Err(SqlError::new(
                state::DUPLICATE_CURSOR,
                format!("portal \"{name}\" already exists, or there are {PORTALS_MAX}"),
            )
            .into());
        }
        let prepared = self
            .session
            .statement(bind.statement_name.as_deref().unwrap_or_default())?
            .clone();
        let wanted = prepared.parameters.len();
        if bind.parameters.len() != wanted {
            return Err(SqlError::new(
                state::PROTOCOL_VIOLATION,
                format!(
                    "bind message supplies {} parameters, but prepared statement requires {wanted}",
                    bind.parameters.len()
                ),
            )
            .into());
        }
        let formats = message::formats(&bind.parameter_format_codes, wanted)?;
        let mut parameters = Vec::new();
        for ((ty, format), bytes) in prepared
            .parameters
            .iter()
            .zip(formats)
            .zip(&bind.parameters)
        {
            parameters.push(message::parameter(
                *ty,
                format,
                bytes.as_deref(),
                self.session.look(),
            )?);
        }
        if let Some(columns) = &prepared.columns {
            message::formats(&bind.result_column_format_codes, columns.len())?;
        }
        let portal = Portal {
            prepared,
            parameters,
            format_codes: bind.result_column_format_codes,
            started: None,
        };
        self.portals.insert(name, portal);
        self.tell(Message::BindComplete(BindComplete::new()))
            .await?;
        Ok(())
    }

    async fn describe(&mut self, describe: Describe) -> Result<(), Failure> {
        let name = describe.name.unwrap_or_default();
        let (columns, formats) = if describe.target_type == b'S' {
            let prepared = self.session.statement(&name)?.clone();
            let types = prepared.parameters.iter().map(|ty| ty.oid()).collect();
            self.tell(Message::ParameterDescription(ParameterDescription::new(
                types,
            )))
            .await?;
            (prepared.columns, Vec::new())
        } else {
            match self.portals.get(&name) {
                Some(portal) => {
                    let count = portal.prepared.columns.as_ref().map_or(0, Vec::len);
                    (
                        portal.prepared.columns.clone(),
                        message::formats(&portal.format_codes, count)?,
                    )
                }
                // A cursor that SQL declared is a portal too.
                None => (
                    Some(
                        self.session
                            .cursor_columns(&name)
                            .map_err(|_| no_portal(&name))?,
                    ),
                    Vec::new(),
                ),
            }
        };
        let described = match columns {
            Some(columns) => message::row_description(&columns, &formats),
            None => Message::NoData(NoData::new()),
        };
        self.tell(described).await?;
        Ok(())
    }

    async fn execute(&mut self, execute: Execute) -> Result<(), Failure> {
        let name = execute.name.unwrap_or_default();
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let limit = usize::try_from(execute.max_rows).unwrap_or_default();
        let result = self.run_portal(&mut portal, limit).await;
        self.portals.insert(name, portal);
        result
    }

    async fn run_portal(&mut self, portal: &mut Portal, limit: usize) -> Result<(), Failure> {
        let Some(plan) = &portal.prepared.plan else {
            self.tell(Message::EmptyQueryResponse(EmptyQueryResponse::new()))
                .await?;
            return Ok(());
        };
        if portal.started.is_none() {
            let text = portal.prepared.text.clone();
            let parameters = std::mem::take(&mut portal.parameters);
            let answer = self
                .session
                .execute(plan.clone(), &text, parameters)
                .await?;
            self.tell_asides().await?;
            if let Some(copy) = answer.copy {
                if copy.is_out {
                    return self.copy_out(*copy, &text).await;
                }
                let copy = CopyIn::new(*copy, &text, true);
                self.tell(copy.response()).await?;
                self.copy = Some(copy);
                self.socket.flush().await?;
                return Ok(());
            }
            portal.started = Some(Started {
                columns: answer.columns.unwrap_or_default(),
                rows: answer.rows.into(),
                tag: answer.tag,
            });
        }
        let Some(started) = &mut portal.started else {
            return Ok(());
        };
        let formats =
            message::formats(&portal.format_codes, started.columns.len()).unwrap_or_default();
        let mut told = 0;
        while limit == 0 || told < limit {
            let Some(row) = started.rows.pop_front() else {
                break;
            };
            let row = message::data_row(&started.columns, &formats, &row, self.session.look())?;
            self.socket.feed(row).await?;
            told += 1;
        }
        if started.rows.is_empty() && (limit == 0 || told < limit || told == 0) {
            let tag = match started.tag.strip_prefix("SELECT ") {
                Some(_) => format!("SELECT {told}"),
                None => started.tag.clone(),
            };
            self.tag = Some(tag);
        } else {
            self.tell(Message::PortalSuspended(PortalSuspended::new()))
                .await?;
        }
        Ok(())
    }

    async fn close(&mut self, close: Close) -> Result<(), Failure> {
        let name = close.name.unwrap_or_default();
        if close.target_type == b'S' {
            self.session.forget(&name);
        } else {
            self.portals.remove(&name);
        }
        self.tell(Message::CloseComplete(CloseComplete::new()))
            .await?;
        Ok(())
    }

    /// The end of a pipeline: what it has done is committed, and only then told.
    pub(super) async fn sync(&mut self) -> io::Result<()> {
        let ended = if self.is_skipping {
            Ok(())
        } else {
            self.session.end_implicit().await
        };
        self.is_skipping = false;
        match ended {
            Ok(()) => self.tell_tag().await?,
            Err(error) => self.fail(&error).await?,
        }
        if self.session.status() == crate::session::Status::Idle {
            self.portals.clear();
        }
        self.ready().await
    }
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(
        state::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}
