// Public keys as ssh-keygen wrote them and their fingerprints as ssh-keygen -l printed them. Generated once.
#ifndef UNIT_PUBKEY_SAMPLES_H
#define UNIT_PUBKEY_SAMPLES_H

static const struct {
    const char *line, *fingerprint;
    unsigned bits;
} samples[] = {
    {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHbP6omzv1eGXw/+Gz1U2SHD6Z0yvH/bvJEFRpizHDSo user@host",
     "SHA256:OZFzHmgqpxaKW8cVfUZO2/JB7bFcORkXb1vEsxQWM80", 256},
    {"ecdsa-sha2-nistp256 "
     "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBCSxYNsz8fto42bZJ2yBA4jBaUrWqd7dexej0vSg+"
     "ctpsfmbmEvDSNTidqTIBQdHJq3xKZWZWQfazYfKme7mmjs= user@host",
     "SHA256:rPZm8okfOn/3pu05cdJpEWv57rF6Ne+9F69jt2VdLKs", 256},
    {"ecdsa-sha2-nistp384 "
     "AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBN/"
     "WrYM5KLBNRKc8vcxPWPqpF1UCzgN2hMLLya6Ksf8WX3TVM19THL7Vd5A0jYcmX/lpDtsXR9JP142/"
     "eEsd2rVDvDVStjeONvqf1yFkwwbuXdeYOjmSX6j8exfjHU1DdA== user@host",
     "SHA256:oaYCA/rjy0L5iGmr72qGYN7SxaD7iqUTUXWgAdIXNyU", 384},
    {"ecdsa-sha2-nistp521 "
     "AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAFagqUjs/HFEjKND79j1MbEq8ZUz+5hBFg4D37VP6o/"
     "IXoU4eA9gG0FUEpuOmeZ7tmCm01GhJmz0R1s8Hud7GVHcgEgvY7M5s2nOW235kgISwZeCgD+"
     "TrWus7ssxVtUfDuUA8haPOwYyMjzHFVwUGlU+D8OXsD5Aa9ulLTABqfV/KwcwA== user@host",
     "SHA256:APneWpEa7bBk66Ez7Dw/PxDdk36GdlooOaYh7C8KuuQ", 521},
    {"ssh-rsa "
     "AAAAB3NzaC1yc2EAAAADAQABAAABAQDP34WtFjUUxsxzo6HcAVvxHzfc06hfo7K5yp9g5ZHe8/"
     "KpKSr6P5AUQrwtw0QAlzgykpS4KDdC9qlXVE6LHOWeORyDeaZKE81ST8XeAidGI1bsp8rOo1nZY8lQ7CbqKWKbFFxb3cIqew3m9q1DQ"
     "cAYSlE3HceugwEfs/vyFey6i/"
     "8rUYiO4E8t4nEkwjHOXnwgPF2ZyOOV0TrQ6h7I7nic3GLgzOdfcI00ofdL5YQgf3q6icVOXRt8Tju6WsIfdaDkahJnHTVXzO9f8Ay/"
     "+QQU7X1mdQCGxpz2X1CNg1pMON/pZpKOiWMVrBgw1kirJpC6dzqWjhXstrLAPMso3mNd user@host",
     "SHA256:XbA4jQvfgaoX/ldSVDNK4c6uNVWMrV6SBoHS6Lipp9I", 2048},
    {"ssh-rsa "
     "AAAAB3NzaC1yc2EAAAADAQABAAABgQDt6QLB/DeU/SKqd0Caq/"
     "3QU8vGHARPNHGrDU4zhsy5Or8CuCLuTL+"
     "lR3Bn7y5VvZe7XfFJgIQhTVuCA8guAw1m2OoSH6KMG89VOBjRNwNqTvXoUsmZRAxXj5xhQTuJIAuOf9VZZdxG3S9ZTLBYrchLBwt+"
     "6ePgPSI7UgbUPK4s1WTkM1CsJi7hIaB820xpNLYQAiV1ZsAcc7dJrQTE5PWhf/w6r9OJ3DlSOiA6kZuwpo8H9TG/"
     "gyBqA0kViHw0LZT3gs2ndxYoxpEZXbqZsgsyjYJkTXPOvxjwMn4/EKhIjG8uZ5I/"
     "1BCKQ8Qrx5OB9YCTcJl3+"
     "wL2TfMehUQ8nwhXJU4acE3eZREM2OAotKI3kz6fEnAOqPzklb0BLB46jvqqIPaTsMrupKMOQ3yTzUuT9BIekXYYu0bA1bIz+"
     "txqm1MqRQutTAqDuLAdeJfX5v2u826kUgEHa+QnnagPvaYCWZdxKI6Lf1oyUQkHiOpinqOc+Zw511cY9FKnryKvzRM= user@host",
     "SHA256:QwxawsKPnaMUIqC/kw+8Pv3x9p0a+JnJzZSoWJmVacY", 3072},
    {"ssh-rsa "
     "AAAAB3NzaC1yc2EAAAADAQABAAACAQC3nFlk2EzdOFEs2Y64tV1n9E7Ll8GEW8nBricR2F6x2XjWgpqowi+TVLjZpF3sBATtcQX/"
     "prwn9xYKINGFE9BwzZ7rsLRs1V3REAl8sf7jxhf7ZNRskMKN1G9TAY09wppiIKvm7vAxAje3Xr0v64/"
     "Y2XXdIOyUUdzoEOJsjCnhENYxYnqMIhisYhdlQVdLAyDs4RSD3XybuMLkXsRQqlUlfKaukJdCdMjG3VWdrd2FoIAwXWuyuUAYUj6oyg"
     "92+nr8PMLisDvu111Xks0wazCWiGuDqN+c29u4oibg+"
     "X22g8QkzZLYbJIKQlPjXajVvIe4tm3SneAOP6rzrZlioR9IynwjW3Q2AcS1hFGRNAXNjflxv0v6ir1hc6cmDm17b1IlY3iR/"
     "oHRhwRgx8LDwT873zMggWfVQdXeMBIqpASGlkpBYHWwT/"
     "qGPCVcHBGCHrVBVPovxNyZGRp2Jtc5GFsq10Gb7ppeC8KbTWGzJAO6buU3r6bsXCEuTep5k1i9oEfIRsk/ZH3Mq2bqube1K/"
     "Jhf5V1K7Fb0WMwfuzK6FlsVlVZ+HpVmu3ubkLjqJXuziHYb2UIIz7bGqQgOITQFiWzKlihtL0sKFHIE1J513JBJawsUsfZAinR6+"
     "rgIs19CdWl9f6pplF/qVV1DW261UwaVYgfU8uSQ1RcLfwAdUTUEw== user@host",
     "SHA256:rxcIqUtXq2vbpdQcsLbkiMLlq3bUc7Y6GE2WGH4O6Mk", 4096},
};

static const char sample_rsa_1024[] =
    "ssh-rsa "
    "AAAAB3NzaC1yc2EAAAADAQABAAAAgQD0prkf7JtUeA2EN1kPxkeC1OUbRNMWZRtku2W7D8uC+QrWTOLT0HEFIrWRDAB1+"
    "9deG2HhBipU1bAEp2IY/"
    "5qX0uhsHWxdyRCtD4aMncOVhBVDerL5Gm3lKh3OGRrRFfBtd3RTzyLObqScisjomdr+oU5bL4NCNUEK7ZeNZRUlyw== user@host";

#endif
