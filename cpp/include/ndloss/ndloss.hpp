/// Everything an application needs: the losses of torch.nn on arrays in memory.
#pragma once

#include "ndloss/accumulator.hpp"
#include "ndloss/chunked_logits.hpp"
#include "ndloss/evaluate.hpp"
#include "ndloss/isa.hpp"
#include "ndloss/losses.hpp"
#include "ndloss/sequence.hpp"
#include "ndloss/threads.hpp"
#include "ndloss/vectors.hpp"
#include "ndloss/version.hpp"
#include "ndloss/views.hpp"
