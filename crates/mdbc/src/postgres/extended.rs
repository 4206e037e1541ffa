//! The extended protocol: parse, bind, describe, execute, sync.

use std::sync::Arc;

use bytes::Bytes;

use super::connection::{Connection, Tries};
use super::frame::Frame;
use super::relay::Ask;
use super::session::{Block, Failure};
use super::simple::Message;
use super::statement::{Kind, Statement};
use crate::engine::postgres::TableOptions;
use crate::error::{SqlError, state};

/// Portals of a session.
const PORTALS_MAX: usize = 10_000;

fn answer(tag: u8) -> Frame {
    Frame::new(tag, Bytes::new())
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(
        state::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}

impl Connection {
    pub(super) async fn extended(&mut self, frame: Frame) -> Result<(), Failure> {
        self.output.tell_tag();
        self.has_ended = false;
        self.current = Some(frame.clone());
        if self.session.transaction.block == Block::Implicit {
            self.keep();
        }
        match self.message(&frame).await {
            Ok(()) => Ok(()),
            Err(failure) => self.failed(failure).await,
        }
    }

    /// A message has failed: the transaction is tried again, or the client is told
    /// and what it sends is skipped.
    async fn failed(&mut self, mut failure: Failure) -> Result<(), Failure> {
        let mut tries = Tries::new();
        let is_implicit = self.session.transaction.block == Block::Implicit;
        while is_implicit && self.has_pipeline() && self.may_try_again(&failure) && tries.another()
        {
            match self.again().await {
                Ok(()) => return Ok(()),
                Err(another) => failure = another,
            }
        }
        self.is_skipping = true;
        self.fail(failure).await
    }

    /// Does anew what the client has sent since the transaction began.
    async fn again(&mut self) -> Result<(), Failure> {
        self.session.rollback().await?;
        self.portals.clear();
        self.output.forget();
        let pipeline = self.pipeline.clone();
        self.is_again = true;
        let mut result = Ok(());
        for frame in &pipeline {
            result = self.message(frame).await;
            if result.is_err() {
                break;
            }
        }
        self.is_again = false;
        result
    }

    /// The end of a pipeline: what it has done is committed, and only then told.
    pub(super) async fn sync(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.is_skipping) {
            let mut tries = Tries::new();
            while let Err(failure) = self.session.end_implicit().await {
                let may = self.has_pipeline()
                    && failure.is_of_others()
                    && self.output.can_forget()
                    && tries.another();
                if !may {
                    self.fail(failure).await?;
                    break;
                }
                if let Err(failure) = self.again().await {
                    self.failed(failure).await?;
                    if std::mem::take(&mut self.is_skipping) {
                        break;
                    }
                }
            }
        }
        self.ready().await
    }

    async fn message(&mut self, frame: &Frame) -> Result<(), Failure> {
        match frame.tag {
            b'P' => self.parse(frame).await,
            b'B' => self.bind(frame).await,
            b'D' => self.describe(frame).await,
            b'E' => self.execute(frame).await,
            _ => self.close(frame).await,
        }
    }

    /// Passes a message on, and its answer.
    async fn pass(&mut self, frame: &Frame) -> Result<(), Failure> {
        let mut ask = Ask::new(false, false);
        ask.put(frame);
        self.relay(ask).await
    }

    async fn parse(&mut self, frame: &Frame) -> Result<(), Failure> {
        let mut texts = frame.texts();
        let (name, text) = (texts.text()?, texts.text()?);
        let statement = match Statement::of(&text) {
            Ok(statement) => Arc::new(statement),
            Err(error) => {
                self.session.check_failed()?;
                return Err(error.into());
            }
        };
        let known = self.session.statements.get(&name);
        if self.is_again && !name.is_empty() && known == Some(&statement) {
            self.output.tell(&answer(b'1')).await?;
            return Ok(());
        }
        if !statement.is_own() {
            let is_back = statement.kind == Kind::Savepoint { is_back: true };
            if !is_back {
                self.session.check_failed()?;
            }
        }
        let mut sent = frame.clone();
        if statement.options != TableOptions::default() {
            let mut body = name.clone().into_bytes();
            body.push(0);
            body.extend(statement.text.bytes());
            body.push(0);
            body.extend(texts.rest());
            sent = Frame::new(b'P', body);
        }
        if self.session.transaction.block != Block::Idle && !statement.is_own() {
            self.enter(&statement).await?;
        }
        match self.pass(&sent).await {
            Err(failure) if self.refresh(&failure, &statement).await? => {
                if self.session.transaction.block == Block::Explicit {
                    self.enter(&statement).await?;
                }
                self.pass(&sent).await?;
            }
            parsed => parsed?,
        }
        self.remember(name, &statement)?;
        Ok(())
    }

    async fn bind(&mut self, frame: &Frame) -> Result<(), Failure> {
        let mut texts = frame.texts();
        let (portal, name) = (texts.text()?, texts.text()?);
        if self.portals.len() >= PORTALS_MAX {
            return Err(SqlError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session has at most {PORTALS_MAX} portals"),
            )
            .into());
        }
        let Some(statement) = self.session.statements.get(&name).cloned() else {
            // The server tells that there is none.
            return self.pass(frame).await;
        };
        if statement.is_own() {
            self.portals.insert(portal, statement);
            self.output.tell(&answer(b'2')).await?;
            return Ok(());
        }
        self.enter(&statement).await?;
        let mut ask = Ask::new(false, false);
        if let Some(begin) = self.session.begin_text(&statement) {
            ask.own(begin)?;
        }
        ask.put(frame);
        self.relay(ask).await?;
        self.portals.insert(portal, statement);
        Ok(())
    }

    async fn describe(&mut self, frame: &Frame) -> Result<(), Failure> {
        let (what, name) = named(frame)?;
        let portal = self.portals.get(&name).filter(|_| what == b'P');
        if portal.is_some_and(|statement| statement.is_own()) {
            self.output.tell(&answer(b'n')).await?;
            return Ok(());
        }
        if what == b'S'
            && self.session.transaction.block != Block::Idle
            && let Some(statement) = self.session.statements.get(&name).cloned()
            && !statement.is_own()
        {
            self.enter(&statement).await?;
        }
        self.pass(frame).await
    }

    async fn execute(&mut self, frame: &Frame) -> Result<(), Failure> {
        let name = frame.texts().text()?;
        let Some(statement) = self.portals.get(&name).cloned() else {
            // A cursor that SQL declared is a portal too.
            self.session.check_failed()?;
            if self.session.transaction.block == Block::Idle {
                return Err(no_portal(&name).into());
            }
            return self.pass(frame).await;
        };
        if statement.is_own() {
            return self.run_own(&statement).await;
        }
        if statement.kind != (Kind::Savepoint { is_back: true }) {
            self.session.check_failed()?;
        }
        self.run(&statement, Message::Frame(frame)).await
    }

    async fn close(&mut self, frame: &Frame) -> Result<(), Failure> {
        let (what, name) = named(frame)?;
        if what == b'S' {
            self.session.statements.remove(&name);
        } else if self
            .portals
            .remove(&name)
            .is_some_and(|statement| statement.is_own())
        {
            self.output.tell(&answer(b'3')).await?;
            return Ok(());
        }
        self.pass(frame).await
    }
}

/// What a `Describe` or `Close` is about.
fn named(frame: &Frame) -> Result<(u8, String), SqlError> {
    let what = frame.body.first().copied().unwrap_or_default();
    let rest = frame.body.slice(usize::from(!frame.body.is_empty())..);
    Ok((what, Frame::new(frame.tag, rest).texts().text()?))
}
