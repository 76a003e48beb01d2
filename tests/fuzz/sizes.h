/* What must hold of a model whose headers made sense, whatever they said. */
#ifndef TN_FUZZ_SIZES_H
#define TN_FUZZ_SIZES_H

#include "facts.h"

/* Finishes the facts, and sizes the model for every purpose on machines of several kinds. */
void fuzz_check_model(struct model_facts *facts);

#endif
