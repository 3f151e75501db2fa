//! Who may: authentication, tokens bound to certificates, authorisation
