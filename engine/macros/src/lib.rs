//! The `#[record]` attribute of Pelton. Use it as `#[pelton::record]`; its documentation is there.

use proc_macro::TokenStream;
use quote::{ToTokens, format_ident, quote};
use syn::{
    Attribute, Data, DeriveInput, Error, Field, Fields, Ident, Index, Member, Type, parse_macro_input,
    parse_quote,
};

/// Makes a struct or an enum a record, and with `#[record(key)]` a struct a key as well.
#[proc_macro_attribute]
pub fn record(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = options.to_string();
    let input = parse_macro_input!(item as DeriveInput);
    let expanded = match options.trim() {
        "" => Ok(record_of(input)),
        "key" => key_of(&input).map(|key| {
            let record = record_of(input);
            quote! { #record #key }
        }),
        other => {
            Err(Error::new_spanned(&input.ident, format!("`#[record({other})]`: the only option is `key`")))
        }
    };
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

/// The item itself with rkyv's derives, and the trait with the schema.
fn record_of(mut input: DeriveInput) -> proc_macro2::TokenStream {
    let (schema, heap_bytes) = (schema_of(&input), heap_bytes_of(&input));
    let fields: Vec<Type> = fields_of(&mut input.data).into_iter().map(|field| field.ty.clone()).collect();
    let (options, promised) = plain_words(&mut input);
    let name = &input.ident;
    let (impls, types, wheres) = input.generics.split_for_impl();
    let params = input.generics.type_params().map(|param| &param.ident);
    let bounds = quote! { #(#params: ::pelton::Record,)* };
    // The predicates one by one: a clause may or may not end in a comma of its own.
    let predicates = wheres.into_iter().flat_map(|clause| &clause.predicates);
    let wheres = quote! { where #(#predicates,)* #bounds };
    quote! {
        #[derive(::pelton::rkyv::Archive, ::pelton::rkyv::Serialize, ::pelton::rkyv::Deserialize)]
        #[rkyv(crate = ::pelton::rkyv)]
        #options
        #input
        impl #impls ::pelton::Record for #name #types #wheres #(for<'record> #promised: ::pelton::Record,)* {
            const SCHEMA: &'static ::pelton::core::record::schema::Schema = &#schema;
            #[inline]
            fn heap_bytes(&self) -> usize {
                #heap_bytes
            }
        }

        // Has the compiler say which field is no record, and what to do about it.
        const _: () = {
            fn _is_record<R: ::pelton::Record>() {}
            fn _fields #impls () #wheres {
                #(_is_record::<#fields>();)*
            }
        };
    }
}

/// Types of which the engine itself says that they are records.
const KNOWN: [&str; 17] = [
    "bool",
    "char",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "f32",
    "f64",
    "String",
    "EventTime",
    "Window",
];

/// Sees to it that a field which is no record is answered in few words.
///
/// rkyv's derives ask of each field's type that it can be archived, once for each derive and each in rkyv's own words: 200 lines, about
/// one attribute that is missing. A bound with a lifetime of its own (`for<'record> Price: Archive`) says the same and is not checked
/// where it stands but where it is used. So the bounds of fields are put in this form here, and the check that is left is ours. Not
/// for items that are generic or have options for rkyv themselves: these are left as they are.
///
/// Returns the options for rkyv, and the types.
fn plain_words(input: &mut DeriveInput) -> (proc_macro2::TokenStream, Vec<Type>) {
    let for_rkyv = |attrs: &[Attribute]| attrs.iter().any(|attr| attr.path().is_ident("rkyv"));
    if !input.generics.params.is_empty() || for_rkyv(&input.attrs) {
        return Default::default();
    }
    let mut promised = Vec::new();
    for field in fields_of(&mut input.data) {
        let known =
            matches!(&field.ty, Type::Path(path) if KNOWN.iter().any(|known| path.path.is_ident(known)));
        if !known && !for_rkyv(&field.attrs) {
            field.attrs.push(parse_quote! { #[rkyv(omit_bounds)] });
            promised.push(field.ty.clone());
        }
    }
    if promised.is_empty() {
        return Default::default();
    }
    let rkyv = quote! { ::pelton::rkyv };
    let options = quote! {
        #[rkyv(archive_bounds(#(for<'record> #promised: #rkyv::Archive),*))]
        #[rkyv(serialize_bounds(#(for<'record> #promised: #rkyv::Serialize<__S>),*))]
        #[rkyv(deserialize_bounds(#(for<'record> #promised: ::pelton::core::record::Rebuilt<__D>),*))]
        #[rkyv(bytecheck(bounds(#(for<'record> #promised: ::pelton::core::record::Checked<__C>),*)))]
    };
    (options, promised)
}

/// All fields, those of an enum's variants included.
fn fields_of(data: &mut Data) -> Vec<&mut Field> {
    match data {
        Data::Struct(data) => data.fields.iter_mut().collect(),
        Data::Enum(data) => data.variants.iter_mut().flat_map(|variant| &mut variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    }
}

/// The names and types of fields and variants, in order.
fn schema_of(input: &DeriveInput) -> proc_macro2::TokenStream {
    let name = plain_name(&input.ident);
    let schema = quote! { ::pelton::core::record::schema };
    let id = quote! { ::core::any::TypeId::of::<Self>() };
    match &input.data {
        Data::Struct(data) => {
            let fields = schemas_of(&data.fields);
            quote! { #schema::Schema::Struct { id: #id, name: #name, fields: &[#fields] } }
        }
        Data::Enum(data) => {
            let variants = data.variants.iter().map(|variant| {
                let (name, fields) = (plain_name(&variant.ident), schemas_of(&variant.fields));
                let number =
                    variant.discriminant.as_ref().map_or_else(String::new, |(_, number)| squeezed(number));
                quote! { #schema::Variant { name: #name, number: #number, fields: &[#fields] } }
            });
            quote! { #schema::Schema::Enum { id: #id, name: #name, variants: &[#(#variants),*] } }
        }
        // Which rkyv refuses.
        Data::Union(_) => quote! { #schema::Schema::Plain { name: #name } },
    }
}

/// What all fields own on the heap, those of the variant that there is.
fn heap_bytes_of(input: &DeriveInput) -> proc_macro2::TokenStream {
    let owned = quote! { ::pelton::core::record::heap::owned };
    let member = |(at, field): (usize, &Field)| match &field.ident {
        Some(name) => Member::Named(name.clone()),
        None => Member::Unnamed(Index::from(at)),
    };
    match &input.data {
        Data::Struct(data) => {
            let members = data.fields.iter().enumerate().map(member);
            quote! { 0 #(+ #owned(&self.#members))* }
        }
        Data::Enum(data) if data.variants.is_empty() => quote! { match *self {} },
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|variant| {
                let name = &variant.ident;
                let members: Vec<Member> = variant.fields.iter().enumerate().map(member).collect();
                let fields: Vec<Ident> = (0..members.len()).map(|at| format_ident!("field_{at}")).collect();
                quote! { Self::#name { #(#members: #fields),* } => 0 #(+ #owned(#fields))* }
            });
            quote! { match self { #(#arms,)* } }
        }
        // Which rkyv refuses.
        Data::Union(_) => quote! { 0 },
    }
}

fn schemas_of(fields: &Fields) -> proc_macro2::TokenStream {
    let fields = fields.iter().enumerate().map(|(at, Field { ident, ty, attrs, .. })| {
        let name = ident.as_ref().map_or_else(|| at.to_string(), plain_name);
        let of_rkyv = attrs.iter().filter(|attr| attr.path().is_ident("rkyv"));
        let with: String =
            of_rkyv.map(|attr| squeezed(&attr.meta)).filter(|option| option.contains("with")).collect();
        if with.is_empty() {
            quote! { ::pelton::core::record::schema::Field::of::<#ty>(#name) }
        } else {
            quote! { ::pelton::core::record::schema::Field::with::<#ty>(#name, #with) }
        }
    });
    quote! { #(#fields),* }
}

/// A name as it is called, without the `r#` of one that is a keyword.
fn plain_name(name: &Ident) -> String {
    let name = name.to_string();
    name.strip_prefix("r#").unwrap_or(&name).to_owned()
}

/// Tokens as text that does not depend on how they were set.
fn squeezed(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string().split_whitespace().collect()
}

/// The hash, the order prefix and the comparison with an archived value, field by field.
fn key_of(input: &DeriveInput) -> Result<proc_macro2::TokenStream, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "only a struct can be a key of its own"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a key struct cannot be generic"));
    }
    let name = &input.ident;
    let archived = format_ident!("Archived{name}");
    let members: Vec<Member> = match &data.fields {
        Fields::Named(fields) => {
            fields.named.iter().filter_map(|f| f.ident.clone()).map(Member::Named).collect()
        }
        Fields::Unnamed(fields) => {
            (0..fields.unnamed.len()).map(|i| Member::Unnamed(Index::from(i))).collect()
        }
        Fields::Unit => Vec::new(),
    };
    let named = members.iter().map(|member| match member {
        Member::Named(field) => format!("{field}: "),
        Member::Unnamed(_) => String::new(),
    });
    let prefix = members.first().map_or(quote! { 0 }, |first| quote! { ::pelton::Key::prefix(&self.#first) });
    Ok(quote! {
        impl ::pelton::Key for #name {
            fn hash(&self) -> u64 {
                let hash = 0;
                #(let hash = ::pelton::core::exchange::hash::join(hash, ::pelton::Key::hash(&self.#members));)*
                hash
            }
            fn prefix(&self) -> u64 {
                #prefix
            }
            fn is(&self, archived: &#archived) -> bool {
                true #(&& ::pelton::Key::is(&self.#members, &archived.#members))*
            }
            fn describe(&self) -> ::std::string::String {
                let fields: &[::std::string::String] =
                    &[#(::std::format!("{}{}", #named, ::pelton::Key::describe(&self.#members))),*];
                ::std::format!("{} {{ {} }}", ::std::stringify!(#name), fields.join(", "))
            }
        }
    })
}
