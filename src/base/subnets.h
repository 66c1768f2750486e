// Addresses and subnets, single and as lists in a configuration: "192.0.2.7 10.0.0.0/8 2001:db8::/32",
// separated by spaces. Pure.
#ifndef BASE_SUBNETS_H
#define BASE_SUBNETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Every address as 128 bits, IPv4 in its mapped form (::ffff:192.0.2.7), so that its prefix grows by 96.
struct subnet {
    uint8_t address[16];
    unsigned prefix; // 0..128
};

#define SUBNET_TEXT 52 // the longest text of one, with its prefix and the NUL

// "192.0.2.7", "10.0.0.0/8", "2001:db8::/32". False for anything else, also for bits set beyond the prefix.
bool subnet_parse(const char *text, struct subnet *out);

// Who counts as one source: an IPv4 address by itself, an IPv6 address with all of its /64, which one host
// can choose from freely. False for what is no address.
bool subnet_of_source(const char *address, struct subnet *out);

bool subnet_has(const struct subnet *s, const uint8_t address[16]);
int subnet_compare(const struct subnet *a, const struct subnet *b); // an order, for sorting; 0 = the same

// The form subnet_parse reads back; a whole address without its prefix. Returns out.
const char *subnet_format(const struct subnet *s, char out[SUBNET_TEXT]);

// Is every word an address, or a subnet without bits beyond its prefix? An empty list is one, too.
bool subnets_valid(const char *list);

// Is the address in one of the list's subnets? False for what is no address. An IPv4 address mapped to IPv6
// (::ffff:192.0.2.7) counts as IPv4.
bool subnets_have(const char *list, const char *address);

#endif
