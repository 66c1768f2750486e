# spliced(TEMPLATE RESULT FLAG MARK): a file that is TEMPLATE with what `containariumd FLAG` prints in place of the line
# MARK. Add RESULT to the DEPENDS of a target.
function(spliced template result flag mark)
    add_custom_command(
        OUTPUT ${result}
        COMMAND ${CMAKE_COMMAND} -DPROGRAM=$<TARGET_FILE:containariumd> -DFLAG=${flag} -DMARK=${mark}
            -DTEMPLATE=${CMAKE_CURRENT_SOURCE_DIR}/${template} -DRESULT=${result}
            -P ${PROJECT_SOURCE_DIR}/cmake/Splice.cmake
        DEPENDS containariumd ${template} ${PROJECT_SOURCE_DIR}/cmake/Splice.cmake
        COMMENT "Making ${result}"
        VERBATIM)
endfunction()
