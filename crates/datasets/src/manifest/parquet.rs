//! Manifests as Parquet, as pandas and pyarrow write them: columns of strings or integers, and lists
//! of these, plain or dictionary-encoded, with pages compressed by Snappy, gzip or not at all.
//!
//! Columns are read side by side, some rows at a time, by their definition and repetition
//! levels (Melnik et al., "Dremel", 2010, section 4.2): a value whose repetition level is 0
//! begins a row; one whose definition level is less than the highest is absent, and so may be the list
//! that it would be in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};
use serde_json::Value;

use super::{Row, Rows, repeated, whole};
use crate::DataError;

/// Rows that are read at a time.
const ROWS: usize = 4_096;

impl Rows<'_> {
    /// Reads a Parquet table. Returns whether it has splits.
    pub(super) fn parquet(&mut self, input: impl ChunkReader + 'static) -> Result<bool, DataError> {
        let file = self.file;
        // The Parquet reader checks most of its input, but not all.
        catch_unwind(AssertUnwindSafe(|| self.groups(input))).unwrap_or_else(|_| {
            Err(whole(file, "not an intact Parquet file: its parts are inconsistent".to_owned()))
        })
    }

    fn groups(&mut self, input: impl ChunkReader + 'static) -> Result<bool, DataError> {
        let reader = SerializedFileReader::new(input).map_err(|error| self.broken(&error))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let names: Vec<&str> = schema.root_schema().get_fields().iter().map(|field| field.name()).collect();
        if let Some(name) = repeated(&names) {
            return Err(whole(self.file, format!("two columns are called `{name}`")));
        }
        let (path, label, split) = self.columns(&names).map_err(|problem| whole(self.file, problem))?;
        let find = |column: usize| {
            leaf(schema, column).map_err(|found| {
                let name = names[column];
                let expected = "expected strings or integers, or lists of these";
                whole(self.file, format!("column `{name}`: {expected}, found {found}"))
            })
        };
        let (path, label, split) = (find(path)?, find(label)?, split.map(find).transpose()?);
        let mut row = 0;
        for group in 0..reader.num_row_groups() {
            let broken = |error| self.broken(&error);
            let group = reader.get_row_group(group).map_err(broken)?;
            let open = |leaf: usize| Column::open(&*group, schema, leaf).map_err(broken);
            let mut columns = (open(path)?, open(label)?, split.map(open).transpose()?);
            let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            while left > 0 {
                let count = left.min(ROWS);
                self.rows(&mut columns, count, row)?;
                (row, left) = (row + count as u64, left - count);
            }
        }
        Ok(split.is_some())
    }

    /// Adds the next rows of a group, those after row `before`.
    fn rows(
        &mut self,
        (paths, labels, splits): &mut (Column, Column, Option<Column>),
        count: usize,
        before: u64,
    ) -> Result<(), DataError> {
        let cells = |column: &mut Column| {
            let cells = column.cells(count).map_err(|error| self.broken(&error))?;
            let row = before + cells.len() as u64 + 1;
            let is_whole = cells.len() == count;
            is_whole
                .then_some(cells)
                .ok_or_else(|| self.at(row, format!("column `{}` has ended", column.name)))
        };
        let (own_paths, own_labels) = (cells(paths)?, cells(labels)?);
        let mut own_splits = splits.as_mut().map(cells).transpose()?.map(Vec::into_iter);
        for (line, (path, label)) in (before + 1..).zip(own_paths.into_iter().zip(own_labels)) {
            let text = |column: &Column, cell: Value| match cell {
                Value::String(text) => Ok(text),
                other => {
                    Err(self.at(line, format!("column `{}`: expected a text, found {other}", column.name)))
                }
            };
            let path = text(paths, path)?;
            let split = splits.as_ref().zip(own_splits.as_mut().and_then(Iterator::next));
            let split = split.map(|(column, cell)| text(column, cell)).transpose()?;
            let found = match &label {
                // As a cell of a text table.
                Value::String(text) => self.labelling.of_text(text),
                Value::Null => self.labelling.of_text(""),
                other => self.labelling.of_value(other),
            };
            let labels = found.map_err(|problem| format!("column `{}`: {problem}", labels.name));
            self.add(Row { line, path, labels, split })?;
        }
        Ok(())
    }

    fn broken(&self, error: &ParquetError) -> DataError {
        let message = error.to_string();
        let remedy = if message.contains("Disabled feature") {
            "; supported are Snappy (the default of pandas and pyarrow), gzip and no compression"
        } else {
            ""
        };
        whole(self.file, format!("not an intact Parquet file: {message}{remedy}"))
    }
}

/// The leaf of a column of the table if its type is supported; otherwise a description of it.
fn leaf(schema: &SchemaDescriptor, column: usize) -> Result<usize, String> {
    let leaves: Vec<usize> =
        (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == column).collect();
    let &[leaf] = &leaves[..] else { return Err(format!("a structure of {} columns", leaves.len())) };
    let column = schema.column(leaf);
    match column.physical_type() {
        _ if column.max_rep_level() > 1 => Err("lists of lists".to_owned()),
        Type::INT32 | Type::INT64 if !is_integer(&column) => Err(meaning(&column)),
        Type::INT32 | Type::INT64 | Type::BYTE_ARRAY => Ok(leaf),
        other => Err(other.to_string()),
    }
}

/// What values of a column stand for, in a word.
fn meaning(column: &ColumnDescriptor) -> String {
    let Some(logical) = column.logical_type_ref() else { return column.converted_type().to_string() };
    let logical = format!("{logical:?}");
    logical.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_uppercase()
}

/// Whether the integers of a column stand for themselves, and not for decimals, dates or times.
fn is_integer(column: &ColumnDescriptor) -> bool {
    use ConvertedType::{INT_8, INT_16, INT_32, INT_64, NONE, UINT_8, UINT_16, UINT_32, UINT_64};
    let is_plain = matches!(column.logical_type_ref(), None | Some(LogicalType::Integer { .. }));
    let converted = [NONE, INT_8, INT_16, INT_32, INT_64, UINT_8, UINT_16, UINT_32, UINT_64];
    is_plain && converted.contains(&column.converted_type())
}

/// A column of a group of rows, read from front to back.
struct Column {
    name: String,
    reader: ColumnReader,
    is_list: bool,
    /// The definition level of a value, and that from which on a list has an element, absent or not.
    value_level: i16,
    element_level: i16,
}

/// The levels of a column's values: of each that may be absent or in a list.
#[derive(Default)]
struct Levels {
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Column {
    fn open(
        group: &dyn RowGroupReader,
        schema: &SchemaDescriptor,
        leaf: usize,
    ) -> Result<Self, ParquetError> {
        let column = schema.column(leaf);
        Ok(Self {
            name: column.path().parts().first().cloned().unwrap_or_default(),
            reader: group.get_column_reader(leaf)?,
            is_list: column.max_rep_level() == 1,
            value_level: column.max_def_level(),
            element_level: column.max_def_level() - i16::from(column.self_type().is_optional()),
        })
    }

    /// The cells of the next rows, fewer at the end of the column.
    fn cells(&mut self, rows: usize) -> Result<Vec<Value>, ParquetError> {
        let mut levels = Levels::default();
        let values = match &mut self.reader {
            ColumnReader::Int32ColumnReader(reader) => read(reader, rows, &mut levels, |n| Ok(n.into()))?,
            ColumnReader::Int64ColumnReader(reader) => read(reader, rows, &mut levels, |n| Ok(n.into()))?,
            ColumnReader::ByteArrayColumnReader(reader) => {
                read(reader, rows, &mut levels, |bytes: ByteArray| Ok(bytes.as_utf8()?.into()))?
            }
            _ => {
                return Err(ParquetError::General(
                    "a column of another type than its schema says".to_owned(),
                ));
            }
        };
        Ok(self.assembled(values, &levels))
    }

    fn assembled(&self, values: Vec<Value>, levels: &Levels) -> Vec<Value> {
        // None of them may be absent.
        if levels.definition.is_empty() {
            return values;
        }
        let (mut values, mut cells) = (values.into_iter(), Vec::new());
        for (place, &level) in levels.definition.iter().enumerate() {
            let value = if level == self.value_level { values.next() } else { None }.unwrap_or(Value::Null);
            if !self.is_list {
                cells.push(value);
                continue;
            }
            if levels.repetition.get(place) == Some(&0) {
                cells.push(Value::Array(Vec::new()));
            }
            if let (true, Some(Value::Array(list))) = (level >= self.element_level, cells.last_mut()) {
                list.push(value);
            }
        }
        cells
    }
}

/// The values of the next rows, and their levels.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Levels,
    value: impl Fn(T::T) -> Result<Value, ParquetError>,
) -> Result<Vec<Value>, ParquetError> {
    let (mut values, mut left) = (Vec::new(), rows);
    while left > 0 {
        let (definition, repetition) = (&mut levels.definition, &mut levels.repetition);
        let (records, ..) = reader.read_records(left, Some(definition), Some(repetition), &mut values)?;
        if records == 0 {
            break;
        }
        left -= records;
    }
    values.into_iter().map(value).collect()
}
