//! Which changes there are: those that cargo-mutants makes, put so that all fit into one program.

use std::ops::Range;
use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, BinOp, Block, Expr, ExprBinary, ExprMatch, ExprUnary, GenericArgument,
    ImplItemFn, Item, ItemConst, ItemFn, ItemImpl, ItemMod, ItemStatic, Pat, PathArguments,
    ReturnType, Signature, TraitItemFn, Type, UnOp,
};

use crate::FEATURES;

/// A change.
#[derive(Debug)]
pub struct Mutant {
    pub file: String,
    pub line: usize,
    /// Says what is done, in words that stay the same when lines move.
    pub text: String,
}

/// A place of a file, and what stands there in the changed one.
#[derive(Debug)]
pub struct Place {
    pub range: Range<usize>,
    pub kind: Kind,
}

/// The ids of changes, and what they put in place.
#[derive(Debug)]
pub enum Kind {
    /// An expression, or one of others.
    Choice(Vec<(usize, String)>),
    /// The body of a function that may return something at once.
    Body(Vec<(usize, String)>),
    /// Behind the pattern of an arm that may be gone.
    NoArm(usize),
    /// The guard of an arm: never, and as if it were `true` or `false`.
    Guard { never: Option<usize>, yes: usize, no: usize },
}

pub struct Finder<'a> {
    pub file: &'a str,
    pub source: &'a str,
    pub places: Vec<Place>,
    pub mutants: &'a mut Vec<Mutant>,
    /// The type of the `impl` and the function that is looked at.
    owner: Option<String>,
    function: String,
}

impl<'a> Finder<'a> {
    pub fn new(file: &'a str, source: &'a str, mutants: &'a mut Vec<Mutant>) -> Self {
        let (places, owner) = (Vec::new(), None);
        Self { file, source, places, mutants, owner, function: String::new() }
    }

    fn text(&self, span: Span) -> &'a str {
        &self.source[span.byte_range()]
    }

    fn add(&mut self, at: Span, what: &str) -> usize {
        let text = format!("{what} in {}", self.function);
        // the second of its kind is `... #2`
        let is_same =
            |it: &&Mutant| it.file == self.file && it.text.split(" #").next() == Some(&text);
        let text = match self.mutants.iter().filter(is_same).count() {
            0 => text,
            before => format!("{text} #{}", before + 1),
        };
        self.mutants.push(Mutant { file: self.file.into(), line: at.start().line, text });
        self.mutants.len() - 1
    }

    fn function<'ast>(&mut self, signature: &'ast Signature, body: &'ast Block) {
        let outer = self.function.clone();
        self.function = match &self.owner {
            Some(owner) => format!("{owner}::{}", signature.ident),
            None => signature.ident.to_string(),
        };
        let is_debug = self.function.ends_with("Debug::fmt");
        if !body.stmts.is_empty() && !is_debug && signature.unsafety.is_none() {
            let values = match &signature.output {
                ReturnType::Default => vec!["()".into()],
                ReturnType::Type(_, ty) => self.values(ty),
            };
            let kept = |value: &String| {
                let body = self.text(body.span());
                let body = body.trim_matches(['{', '}', ' ', '\n']);
                body != value && (body, &**value) != ("Self::default()", "Default::default()")
            };
            let values: Vec<_> = values.into_iter().filter(kept).collect();
            let alternatives = values
                .into_iter()
                .map(|value| (self.add(signature.span(), &format!("return {value}")), value))
                .collect();
            let range = body.span().byte_range();
            self.places.push(Place { range, kind: Kind::Body(alternatives) });
        }
        if !is_debug {
            self.visit_block(body);
        }
        self.function = outer;
    }

    /// What a function of this type may return instead.
    fn values(&self, ty: &Type) -> Vec<String> {
        let many = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        match ty {
            Type::Never(_) | Type::ImplTrait(_) => vec![],
            Type::Paren(inner) => self.values(&inner.elem),
            Type::Tuple(tuple) => {
                let mut all = vec![String::new()];
                for ty in &tuple.elems {
                    let values = self.values(ty);
                    all = all
                        .iter()
                        .flat_map(|it| values.iter().map(move |value| format!("{it}{value}, ")))
                        .collect();
                }
                all.into_iter().map(|values| format!("({values})")).collect()
            }
            Type::Reference(reference) => match self.text(reference.elem.span()) {
                "str" => many(&["\"\"", "\"xyzzy\""]),
                "[u8]" if reference.mutability.is_none() => many(&["&[]", "&[0]", "&[1]"]),
                _ => vec![],
            },
            Type::Path(path) => {
                let Some(last) = path.path.segments.last() else { return vec![] };
                let mut inner = Vec::new();
                if let PathArguments::AngleBracketed(arguments) = &last.arguments
                    && let Some(GenericArgument::Type(ty)) = arguments.args.first()
                {
                    inner = self.values(ty);
                }
                let each = |name: &'static str| inner.iter().map(move |it| format!("{name}({it})"));
                match last.ident.to_string().as_str() {
                    "bool" => many(&["true", "false"]),
                    "u8" | "u16" | "u32" | "u64" | "usize" => many(&["0", "1"]),
                    "i8" | "i16" | "i32" | "i64" | "isize" => many(&["0", "1", "-1"]),
                    "String" => many(&["alloc::string::String::new()", "\"xyzzy\".into()"]),
                    "Option" => ["None".to_owned()].into_iter().chain(each("Some")).collect(),
                    "Result" if self.function.ends_with("::fmt") => many(&["Ok(())"]),
                    "Result" => each("Ok").collect(),
                    "Box" => each("alloc::boxed::Box::new").collect(),
                    _ => many(&["Default::default()"]),
                }
            }
            _ => many(&["Default::default()"]),
        }
    }
}

/// A test, or of a feature that is not compiled.
fn is_left_out(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| {
        let is_off = |condition: &str| {
            let feature =
                condition.strip_prefix("feature = \"").and_then(|it| it.split('"').next());
            feature.is_some_and(|it| !FEATURES[2].split(',').any(|on| on == it))
                || condition == "test"
                || condition.starts_with("all (test ,")
        };
        let list = || it.meta.require_list().is_ok_and(|it| is_off(&it.tokens.to_string()));
        it.path().is_ident("test") || it.path().is_ident("cfg") && list()
    })
}

/// The files of such modules that this one declares.
pub fn files_left_out(path: &Path, source: &str) -> Vec<PathBuf> {
    let directory = match path.file_stem().is_some_and(|it| it == "mod" || it == "lib") {
        true => path.with_file_name(""),
        false => path.with_extension(""),
    };
    let name = |item: Item| match item {
        Item::Mod(it) if it.content.is_none() && is_left_out(&it.attrs) => Some(it.ident),
        _ => None,
    };
    let names = syn::parse_file(source).unwrap().items.into_iter().filter_map(name);
    names.map(|it| directory.join(format!("{it}.rs"))).collect()
}

/// What cargo-mutants makes of an operator.
fn instead_of(op: &BinOp) -> (&'static str, &'static [&'static str]) {
    match op {
        BinOp::Eq(_) => ("==", &["!="]),
        BinOp::Ne(_) => ("!=", &["=="]),
        BinOp::And(_) => ("&&", &["||"]),
        BinOp::Or(_) => ("||", &["&&"]),
        BinOp::Lt(_) => ("<", &["==", ">", "<="]),
        BinOp::Gt(_) => (">", &["==", "<", ">="]),
        BinOp::Le(_) => ("<=", &[">", "<"]),
        BinOp::Ge(_) => (">=", &["<", ">"]),
        BinOp::Add(_) => ("+", &["-", "*"]),
        BinOp::Sub(_) => ("-", &["+", "/"]),
        BinOp::Mul(_) => ("*", &["+", "/"]),
        BinOp::Div(_) => ("/", &["%", "*"]),
        BinOp::Rem(_) => ("%", &["/", "+"]),
        BinOp::Shl(_) => ("<<", &[">>"]),
        BinOp::Shr(_) => (">>", &["<<"]),
        BinOp::BitAnd(_) => ("&", &["|", "^"]),
        BinOp::BitOr(_) => ("|", &["&", "^"]),
        BinOp::BitXor(_) => ("^", &["|", "&"]),
        BinOp::AddAssign(_) => ("+=", &["-=", "*="]),
        BinOp::SubAssign(_) => ("-=", &["+=", "/="]),
        BinOp::MulAssign(_) => ("*=", &["+=", "/="]),
        BinOp::DivAssign(_) => ("/=", &["%=", "*="]),
        BinOp::RemAssign(_) => ("%=", &["/=", "+="]),
        BinOp::ShlAssign(_) => ("<<=", &[">>="]),
        BinOp::ShrAssign(_) => (">>=", &["<<="]),
        BinOp::BitAndAssign(_) => ("&=", &["|=", "^="]),
        BinOp::BitOrAssign(_) => ("|=", &["&=", "^="]),
        BinOp::BitXorAssign(_) => ("^=", &["|=", "&="]),
        _ => ("", &[]),
    }
}

/// A chain of `if let`, which is no value.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(it) => has_let(&it.left) || has_let(&it.right),
        _ => false,
    }
}

fn is_wildcard(arm: &Arm) -> bool {
    arm.guard.is_none() && matches!(arm.pat, Pat::Wild(_))
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_left_out(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if is_left_out(&item.attrs) {
            return;
        }
        let ty = self.text(item.self_ty.span());
        let owner = match &item.trait_ {
            Some((_, path, _)) => format!("{ty} as {}", self.text(path.span())),
            None => ty.to_owned(),
        };
        let outer = self.owner.replace(owner);
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_left_out(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_left_out(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body);
        }
    }

    // nothing in these happens while a test runs
    fn visit_item_const(&mut self, _: &'ast ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast ItemStatic) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}
    fn visit_attribute(&mut self, _: &'ast Attribute) {}
    fn visit_path_arguments(&mut self, _: &'ast PathArguments) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}

    fn visit_expr_binary(&mut self, expr: &'ast ExprBinary) {
        let (op, others) = instead_of(&expr.op);
        if !others.is_empty() && !has_let(&expr.left) && !has_let(&expr.right) {
            let (left, right) = (self.text(expr.left.span()), self.text(expr.right.span()));
            let is_assignment = op.ends_with('=') && !matches!(op, "==" | "!=" | "<=" | ">=");
            let alternatives = others
                .iter()
                .map(|other| {
                    let id = self.add(expr.op.span(), &format!("{op} becomes {other}"));
                    let text = match is_assignment {
                        true => format!("{left} {other} {right}"),
                        false => format!("({left}) {other} ({right})"),
                    };
                    (id, text)
                })
                .collect();
            let range = expr.span().byte_range();
            self.places.push(Place { range, kind: Kind::Choice(alternatives) });
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast ExprUnary) {
        let op = match expr.op {
            UnOp::Not(_) => "!",
            UnOp::Neg(_) => "-",
            _ => "",
        };
        if !op.is_empty() {
            let id = self.add(expr.span(), &format!("no {op}"));
            let text = self.text(expr.expr.span()).to_owned();
            let range = expr.span().byte_range();
            self.places.push(Place { range, kind: Kind::Choice(vec![(id, text)]) });
        }
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast ExprMatch) {
        let has_wildcard = expr.arms.iter().any(is_wildcard);
        for arm in &expr.arms {
            let pattern =
                self.text(arm.pat.span()).split_whitespace().collect::<Vec<_>>().join(" ");
            let can_go = has_wildcard && !is_wildcard(arm);
            let never = can_go.then(|| self.add(arm.span(), &format!("no arm {pattern}")));
            match (&arm.guard, never) {
                (Some((_, guard)), never) if !has_let(guard) => {
                    let yes = self.add(guard.span(), &format!("guard of {pattern} is true"));
                    let no = self.add(guard.span(), &format!("guard of {pattern} is false"));
                    let range = guard.span().byte_range();
                    self.places.push(Place { range, kind: Kind::Guard { never, yes, no } });
                }
                (None, Some(id)) => {
                    let end = arm.pat.span().byte_range().end;
                    self.places.push(Place { range: end..end, kind: Kind::NoArm(id) });
                }
                _ => {}
            }
        }
        visit::visit_expr_match(self, expr);
    }
}
