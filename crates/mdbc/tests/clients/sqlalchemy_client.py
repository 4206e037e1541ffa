"""SQLAlchemy 2 against mdbc: create_all, reflection, the ORM, rollback."""

import datetime
import decimal
import sys
from typing import Optional

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    MetaData,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    func,
    inspect,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload


def check(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    __table_args__ = (CheckConstraint("rating >= 0", name="rated"), {"comment": "who writes"})
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    rating: Mapped[decimal.Decimal] = mapped_column(Numeric(5, 2), server_default="1.50")
    born: Mapped[Optional[datetime.date]]
    books: Mapped[list["Book"]] = relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (
        UniqueConstraint("author_id", "title", name="once"),
        Index("book_by_title", "title"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(Text)
    doc: Mapped[Optional[dict]] = mapped_column(JSONB)
    tags: Mapped[Optional[list[str]]] = mapped_column(ARRAY(Text))
    created: Mapped[datetime.datetime] = mapped_column(server_default=func.now())
    author: Mapped[Author] = relationship(back_populates="books")


def reflects(engine):
    inspector = inspect(engine)
    check(sorted(inspector.get_table_names()), ["author", "book"])
    columns = {column["name"]: column for column in inspector.get_columns("author")}
    check(str(columns["name"]["type"]), "VARCHAR(80)")
    check(str(columns["rating"]["type"]), "NUMERIC(5, 2)")
    check(columns["born"]["nullable"], True)
    check(columns["id"]["autoincrement"], True)
    check(inspector.get_pk_constraint("book")["constrained_columns"], ["id"])
    check(inspector.get_pk_constraint("book")["name"], "book_pkey")
    (key,) = inspector.get_foreign_keys("book")
    check((key["referred_table"], key["referred_columns"]), ("author", ["id"]))
    check(key["options"], {"ondelete": "CASCADE"})
    (unique,) = inspector.get_unique_constraints("book")
    check((unique["name"], unique["column_names"]), ("once", ["author_id", "title"]))
    names = {index["name"]: index["unique"] for index in inspector.get_indexes("book")}
    check(names, {"book_by_title": False, "once": True})
    (rated,) = inspector.get_check_constraints("author")
    # PostgreSQL itself shows the type of the constant.
    check((rated["name"], rated["sqltext"].replace("::numeric", "")), ("rated", "rating >= 0"))
    check(inspector.get_table_comment("author"), {"text": "who writes"})
    check(inspector.has_table("author"), True)
    check(inspector.has_table("nothing"), False)
    check(inspector.get_view_names(), [])
    metadata = MetaData()
    metadata.reflect(engine)
    check(sorted(metadata.tables), ["author", "book"])


def works(engine):
    with Session(engine) as session:
        ada = Author(name="Ada", born=datetime.date(1815, 12, 10))
        ada.books = [Book(title="Notes", tags=["a", "b"], doc={"pages": 66}), Book(title="Letters")]
        session.add_all([ada, Author(name="Grace", rating=decimal.Decimal("4.25"))])
        session.commit()
        check(ada.rating, decimal.Decimal("1.50"))
        assert ada.books[0].created is not None
    with Session(engine) as session:
        ada = session.scalars(select(Author).where(Author.name == "Ada").options(selectinload(Author.books))).one()
        check(sorted(book.title for book in ada.books), ["Letters", "Notes"])
        check(session.scalar(select(func.count()).select_from(Book)), 2)
        counts = session.execute(
            select(Author.name, func.count(Book.id)).outerjoin(Book).group_by(Author.id).order_by(Author.name)
        ).all()
        check([tuple(row) for row in counts], [("Ada", 2), ("Grace", 0)])
        check(session.scalars(select(Book.title).where(Book.doc["pages"].as_integer() == 66)).all(), ["Notes"])
        check(session.scalars(select(Book.title).where(Book.tags.any("b"))).all(), ["Notes"])
        ada.books.pop()
        ada.name = "Ada Lovelace"
        session.flush()
        session.rollback()
        check(session.scalar(select(func.count()).select_from(Book)), 2)
        with session.begin_nested() as savepoint:
            session.add(Author(name="Nobody"))
            session.flush()
            savepoint.rollback()
        check(session.scalar(select(func.count()).select_from(Author)), 2)
        session.delete(ada)
        session.commit()
        check(session.scalar(select(func.count()).select_from(Book)), 0)
    with Session(engine) as session:
        session.add(Author(name="Grace"))
        try:
            session.commit()
        except IntegrityError as error:
            check(error.orig.sqlstate, "23505")
        else:
            raise AssertionError("two of the same name")
    with engine.begin() as connection:
        upsert = insert(Author).values([{"name": "Grace", "rating": 5}, {"name": "Barbara", "rating": 3}])
        upsert = upsert.on_conflict_do_update(index_elements=["name"], set_={"rating": upsert.excluded.rating})
        found = connection.execute(upsert.returning(Author.name, Author.rating)).all()
        check(sorted(row.name for row in found), ["Barbara", "Grace"])


def main():
    engine = create_engine(sys.argv[1])
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)
    reflects(engine)
    works(engine)
    Base.metadata.drop_all(engine)
    check(inspect(engine).get_table_names(), [])


main()
