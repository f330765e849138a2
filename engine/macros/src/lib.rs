//! The `#[record]` attribute of Pelton. Use it as `#[pelton::record]`; its documentation is there.

use proc_macro::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Fields, Index, Member, Type, parse_macro_input};

/// Makes a struct or an enum a record, and with `#[record(key)]` a struct a key as well.
#[proc_macro_attribute]
pub fn record(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = options.to_string();
    let input = parse_macro_input!(item as DeriveInput);
    let expanded = match options.trim() {
        "" => Ok(record_of(&input)),
        "key" => key_of(&input).map(|key| {
            let record = record_of(&input);
            quote! { #record #key }
        }),
        other => {
            Err(Error::new_spanned(&input.ident, format!("`#[record({other})]`: the only option is `key`")))
        }
    };
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

/// The item itself with rkyv's derives, and the marker trait.
fn record_of(input: &DeriveInput) -> proc_macro2::TokenStream {
    let name = &input.ident;
    let (impls, types, wheres) = input.generics.split_for_impl();
    let params = input.generics.type_params().map(|param| &param.ident);
    let bounds = quote! { #(#params: ::pelton::Record,)* };
    // The predicates one by one: a clause may or may not end in a comma of its own.
    let predicates = wheres.into_iter().flat_map(|clause| &clause.predicates);
    let wheres = quote! { where #(#predicates,)* #bounds };
    let fields = fields_of(&input.data);
    quote! {
        #[derive(::pelton::rkyv::Archive, ::pelton::rkyv::Serialize, ::pelton::rkyv::Deserialize)]
        #[rkyv(crate = ::pelton::rkyv)]
        #input
        impl #impls ::pelton::Record for #name #types #wheres {}

        // Has the compiler say which field is no record, and what to do about it.
        const _: () = {
            fn _is_record<R: ::pelton::Record>() {}
            fn _fields #impls () #wheres {
                #(_is_record::<#fields>();)*
            }
        };
    }
}

/// The types of all fields, those of an enum's variants included.
fn fields_of(data: &Data) -> Vec<&Type> {
    match data {
        Data::Struct(data) => data.fields.iter().map(|field| &field.ty).collect(),
        Data::Enum(data) => {
            data.variants.iter().flat_map(|variant| &variant.fields).map(|field| &field.ty).collect()
        }
        Data::Union(_) => Vec::new(),
    }
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
    let prefix = members.first().map_or(quote! { 0 }, |first| quote! { ::pelton::Key::prefix(&self.#first) });
    Ok(quote! {
        impl ::pelton::Key for #name {
            fn hash(&self) -> u64 {
                let hash = 0;
                #(let hash = ::pelton::core::hash::join(hash, ::pelton::Key::hash(&self.#members));)*
                hash
            }
            fn prefix(&self) -> u64 {
                #prefix
            }
            fn is(&self, archived: &#archived) -> bool {
                true #(&& ::pelton::Key::is(&self.#members, &archived.#members))*
            }
        }
    })
}
