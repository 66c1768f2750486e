# Writes RESULT, the C file that src/control/answer_schema.h is about: the files FOLDER/*.json as bytes.
file(GLOB files ${FOLDER}/*.json)
list(SORT files)
set(texts "")
set(rows "")
set(n 0)
foreach(file IN LISTS files)
    get_filename_component(name ${file} NAME)
    string(REGEX REPLACE "\\.json$" "" name ${name})
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
    string(APPEND texts "static const unsigned char text${n}[] = {${bytes}};\n")
    string(APPEND rows "    {\"${name}\", text${n}, sizeof text${n}},\n")
    math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${RESULT} "// Made from docs/schema by cmake/Embed.cmake.
#include \"control/answer_schema.h\"

${texts}
static const struct answer_schema schemas[] = {
${rows}    {NULL, NULL, 0},
};

const struct answer_schema *answer_schemas(void)
{
    return schemas;
}
")
