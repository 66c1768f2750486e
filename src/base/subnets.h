// Lists of addresses and subnets as configuration has them: "192.0.2.7 10.0.0.0/8 2001:db8::/32", separated
// by spaces.
#ifndef BASE_SUBNETS_H
#define BASE_SUBNETS_H

#include <stdbool.h>

// Is every word an address, or a subnet without bits beyond its prefix? An empty list is one, too.
bool subnets_valid(const char *list);

// Is the address in one of the list's subnets? False for what is no address. An IPv4 address mapped to IPv6
// (::ffff:192.0.2.7) counts as IPv4.
bool subnets_have(const char *list, const char *address);

#endif
