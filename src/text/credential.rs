//! The words that mark a credential in a name: of a header, a parameter, a key or a field. Used by all that keeps credentials out
//! of what it shows; a word that is added here is known to all of them.

/// Names are compared in lower case, with `-` for `_`, so the forms of camel case stand without either.
const WORDS: [&str; 14] = [
    "access-key",
    "accesskey",
    "api-key",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "private-key",
    "privatekey",
    "secret",
    "token",
];

fn normalized(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// True for a name with one of the words anywhere in it: of a header or parameter, or beside a value that a stranger quotes.
#[must_use]
pub fn names_credential(name: &str) -> bool {
    let name = normalized(name);
    WORDS.iter().any(|word| name.contains(word))
}

/// True for a name that ends with one of the words. In a free form, `token_endpoint` and `secret_name` say something about a
/// credential, and are none.
#[must_use]
pub fn ends_as_credential(name: &str) -> bool {
    let name = normalized(name);
    WORDS.iter().any(|word| name.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_credentials_are_known_in_every_spelling() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "x-api-key",
            "apiKey",
            "API_KEY",
            "cookie",
            "db_password",
            "passwd",
            "passphrase",
            "client_secret",
            "access_token",
            "aws_secret_access_key",
            "accessKey",
            "private_key",
            "privateKey",
            "credential",
        ] {
            assert!(names_credential(name) && ends_as_credential(name), "{name}");
        }
        for name in ["", "host", "x-kept", "key", "name", "user", "path", "keyboard", "tok"] {
            assert!(!names_credential(name) && !ends_as_credential(name), "{name}");
        }
    }

    #[test]
    fn a_name_about_a_credential_is_told_from_the_name_of_one() {
        for name in ["token_endpoint", "secret_name", "cookie-path", "password_file"] {
            assert!(names_credential(name) && !ends_as_credential(name), "{name}");
        }
    }
}
