// One line of OpenSSH public key text, as in authorized_keys or id_ed25519.pub. Pure parser of (pointer,
// length).
#ifndef STORE_PUBKEY_H
#define STORE_PUBKEY_H

#include "base/fault.h"
#include "policy/keyoption.h"

#define PUBKEY_BASE64_SIZE 4096 // enough for RSA-16384
#define PUBKEY_TYPE_SIZE 48
#define PUBKEY_FINGERPRINT_SIZE 56 // "SHA256:" + 43 base64 characters + NUL
#define PUBKEY_COMMENT_SIZE 128

struct pubkey {
    char type[PUBKEY_TYPE_SIZE];               // "ssh-ed25519", as inside the blob
    char base64[PUBKEY_BASE64_SIZE];           // canonical, padded
    char fingerprint[PUBKEY_FINGERPRINT_SIZE]; // as ssh-keygen -l prints it
    char comment[PUBKEY_COMMENT_SIZE];         // printable, cut if longer; "" if none
    char options[KEYOPTION_TEXT]; // what stood in front of it, as written and checked; "" if nothing
    unsigned bits;                // 256 for ed25519, modulus length for RSA, curve size for ECDSA
};

// Accepts "[OPTIONS] TYPE BASE64 [COMMENT]" with surrounding blanks; options as policy/keyoption.h.
// ssh-ed25519, ecdsa-sha2-nistp{256,384,521} and ssh-rsa
// (>= 2048 bits here; the gateway's rsa_min_bits decides at login). The type in the blob must equal the
// text's and the blob's fields must fill it exactly. Refused, each with its own reason: options that are
// not known, sk-* and certificate keys (say why), DSA, private keys ("this is a private key; give the .pub
// file"), empty input.
MUST_CHECK enum err pubkey_parse(const char *text, size_t length, struct pubkey *out, struct fault *f);

// From the blob alone, as it arrives from the wire (base64).
MUST_CHECK enum err pubkey_from_base64(const char *base64, struct pubkey *out, struct fault *f);

// Calls each(key, arg) for every key line of a file's text; blank lines and # comments are skipped. Stops at
// the first bad line (fault names "line N") or when each returns an error. ERR_INVALID if there was no key at
// all.
typedef enum err (*pubkey_each_fn)(const struct pubkey *key, void *arg, struct fault *f);
MUST_CHECK enum err pubkey_parse_file(const char *text, size_t length, pubkey_each_fn each, void *arg,
                                      struct fault *f);

#endif
