#![forbid(unsafe_code)]

/// Makes an error from one row for each variant: its documentation, its answer to the peer, the
/// section that holds the broken rule, and its text. The fields of a variant can stand in the text.
macro_rules! errors {
    (
        $(#[$meta:meta])*
        pub enum $Error:ident;
        $(#[$answer_meta:meta])*
        answer: $answer_fn:ident -> $Answer:ty;
        $($(#[$doc:meta])* $Variant:ident
            $(($arg:ident: $Arg:ty))?
            $({ $($(#[$field_doc:meta])* $field:ident: $Field:ty),+ $(,)? })?
            => $answer:expr, $section:literal, $text:literal;)+
    ) => {
        $(#[$meta])*
        #[non_exhaustive]
        pub enum $Error {
            $($(#[$doc])* $Variant $(($Arg))? $({ $($(#[$field_doc])* $field: $Field),+ })?,)+
        }

        impl $Error {
            $(#[$answer_meta])*
            pub const fn $answer_fn(&self) -> $Answer {
                match self {
                    $(Self::$Variant { .. } => $answer,)+
                }
            }

            /// Returns the section that holds the broken rule, such as `"RFC 6455 §5.1"`.
            pub const fn section(&self) -> &'static str {
                match self {
                    $(Self::$Variant { .. } => $section,)+
                }
            }
        }

        /// The text, and the section behind it.
        impl core::fmt::Display for $Error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$Variant $(($arg))? $({ $($field),+ })? => write!(f, $text)?,)+
                }
                write!(f, " ({})", self.section())
            }
        }

        impl core::error::Error for $Error {}
    };
}
pub(crate) use errors;
