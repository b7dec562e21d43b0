//! The messages of an ONNX file that are written here, as onnx.proto (opset 17,
//! version 8 of the format) numbers their fields. Fields that stay empty are
//! left out.

use prost::Message;

/// Version of the file format.
pub const IR_VERSION: i64 = 8;
/// Version of the operators.
pub const OPSET_VERSION: i64 = 17;

/// A whole file.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// [`IR_VERSION`].
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The program that wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// That program's version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// The network.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// The operators that it uses.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
    /// Metadata.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<Property>,
}

/// A set of operators; the standard one has an empty domain.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSet {
    /// Whose operators.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Their version.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// A key and its value.
#[derive(Clone, PartialEq, Message)]
pub struct Property {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Nodes in an order in which they can be executed.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// The operations.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// What the network is called.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// The inputs.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<Value>,
    /// The outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<Value>,
}

/// One operation. Values are named; a name is written once.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// Values that it reads.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Values that it outputs.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Its own name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Its options.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// An option of an operation.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value if it is a floating-point number.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// Its value if it is a whole number.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// Its values if it is a list of whole numbers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Which of these it is.
    #[prost(enumeration = "AttributeType", tag = "20")]
    pub r#type: i32,
}

/// The kinds of attributes that are written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum AttributeType {
    /// None: never written.
    Undefined = 0,
    /// [`Attribute::f`].
    Float = 1,
    /// [`Attribute::i`].
    Int = 2,
    /// [`Attribute::ints`].
    Ints = 7,
}

/// Weights, or other numbers known beforehand.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Its extents.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// What its values are.
    #[prost(enumeration = "DataType", tag = "2")]
    pub data_type: i32,
    /// Its name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Its values, little-endian, the last extent fastest.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
}

/// The kinds of values that are written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum DataType {
    /// None: never written.
    Undefined = 0,
    /// Single precision.
    Float = 1,
    /// Whole numbers of eight bytes.
    Int64 = 7,
}

/// Name and type of an input or output.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it is.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<Type>,
}

/// A type: here always that of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct Type {
    /// The tensor's.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorType>,
}

/// What the values of a tensor are, and its extents.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// What its values are.
    #[prost(enumeration = "DataType", tag = "1")]
    pub elem_type: i32,
    /// Its extents.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// Extents of a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// From the slowest to the fastest.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// One extent.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// The number, or a name for one that the caller chooses.
    #[prost(oneof = "Extent", tags = "1, 2")]
    pub value: Option<Extent>,
}

/// An extent that is known, or that has a name.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Extent {
    /// Known.
    #[prost(int64, tag = "1")]
    Known(i64),
    /// Chosen by the caller, such as the number of images.
    #[prost(string, tag = "2")]
    Named(String),
}
