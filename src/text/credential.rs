//! The words that mark a credential in the name of a header, parameter, key or field. All code that redacts credentials
//! uses this list.

/// In lower case with `-` for `_`. Names in camel case have no separators, so the joined forms are listed too.
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

/// Returns true if a name contains one of the words: for headers, parameters, and names in a stranger's text.
#[must_use]
pub fn names_credential(name: &str) -> bool {
    let name = normalized(name);
    WORDS.iter().any(|word| name.contains(word))
}

/// Returns true if a name ends with one of the words: for free-form fields, where `token_endpoint` and `secret_name`
/// describe a credential and hold none.
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
    fn a_name_about_a_credential_differs_from_the_name_of_one() {
        for name in ["token_endpoint", "secret_name", "cookie-path", "password_file"] {
            assert!(names_credential(name) && !ends_as_credential(name), "{name}");
        }
    }
}
