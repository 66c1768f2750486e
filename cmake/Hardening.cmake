# Warnings and hardening, in one interface target that everything of ours links. tests/unit reads the result back
# from the binaries (test_hardening.py).
add_library(hardening INTERFACE)
target_compile_options(hardening INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wwrite-strings
    -Wswitch-enum -Wformat=2 -Wundef -Wvla -Wcast-qual
    -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fno-common
    $<$<BOOL:${CONTAINARIUM_WERROR}>:-Werror>)
target_compile_definitions(hardening INTERFACE _GNU_SOURCE CONTAINARIUM_VERSION="${PROJECT_VERSION}")
target_link_options(hardening INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
if(CONTAINARIUM_SANITIZE)
    target_compile_options(hardening INTERFACE -fsanitize=${CONTAINARIUM_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(hardening INTERFACE -fsanitize=${CONTAINARIUM_SANITIZE})
else()
    target_compile_options(hardening INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3>)
endif()

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)
