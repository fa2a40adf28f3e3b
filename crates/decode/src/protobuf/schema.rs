//! Protobuf files: their text, turned into descriptors. Imports come from the references.

use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::prost_reflect::{DescriptorPool, FileDescriptor};

/// What the file itself is called; nothing imports it.
const OWN: &str = "tiderace-schema.proto";

/// How deep a file may nest.
const MAX_DEPTH: usize = 100;

/// Files that Confluent's registry knows by itself, and nobody refers to by hand.
const KNOWN: [(&str, &str); 2] = [
    (
        "confluent/meta.proto",
        r#"syntax = "proto3";
        package confluent;
        import "google/protobuf/descriptor.proto";
        message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
        extend google.protobuf.FileOptions { Meta file_meta = 1088; }
        extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
        extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
        extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
        extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }"#,
    ),
    (
        "confluent/type/decimal.proto",
        r#"syntax = "proto3";
        package confluent.type;
        message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"#,
    ),
];

/// Parses `text`.
///
/// # Errors
/// When it, or what it imports, is not a Protobuf file; the text says what and where.
pub fn parse(text: &str, references: &[(String, String)]) -> Result<FileDescriptor, String> {
    let files = Files { text, references };
    let given = references.iter().map(|(_, text)| text.as_str());
    if [text].into_iter().chain(given).any(is_too_deep) {
        return Err(format!("it nests more than {MAX_DEPTH} deep"));
    }
    let owned = Owned {
        files: files.all(),
        google: GoogleFileResolver::new(),
    };
    let mut compiler = protox::Compiler::with_file_resolver(owned);
    compiler.include_imports(true);
    let opened = compiler.open_file(OWN).map(|_| ());
    opened.map_err(|error| error.to_string())?;
    let pool: DescriptorPool = compiler.descriptor_pool();
    pool.get_file_by_name(OWN)
        .ok_or_else(|| "it has no content".to_owned())
}

/// Whether braces and brackets nest deeper than a parser that recurses should be given.
fn is_too_deep(text: &str) -> bool {
    let mut depth = 0usize;
    text.bytes().any(|byte| {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })
}

struct Files<'a> {
    text: &'a str,
    references: &'a [(String, String)],
}

impl Files<'_> {
    /// Every file by its name; what is given comes before what is known.
    fn all(&self) -> Vec<(String, String)> {
        let own = (OWN.to_owned(), self.text.to_owned());
        let known = KNOWN.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let given = self.references.iter().cloned();
        [own].into_iter().chain(given).chain(known).collect()
    }
}

/// Finds files in memory.
struct Owned {
    files: Vec<(String, String)>,
    google: GoogleFileResolver,
}

impl FileResolver for Owned {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.files.iter().find(|(file, _)| file == name) {
            Some((_, text)) => File::from_source(name, text),
            None => self.google.open_file(name),
        }
    }
}
