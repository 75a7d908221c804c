"""Identity: one key, one purpose. Secrets never print.

A key is one line in a file: `onggi-key-v2 PURPOSE HEX MADE`. The first word is the format's
version; `onggi-key-v1 PURPOSE HEX`, which did not say when the key was made, is read for ever,
because an identity outlives the program that made it. Beside `sign.key`, `sign.next.key` is a key
that waits for the roster to name it.
"""

from agent.keys.classic import Identity as Identity
from agent.keys.classic import SealingIdentity as SealingIdentity
from agent.keys.classic import SigningIdentity as SigningIdentity
from agent.keys.classic import load_identity as load_identity
from agent.keys.classic import load_sealing as load_sealing
from agent.keys.classic import load_signing as load_signing
from agent.keys.classic import make_identity as make_identity
from agent.keys.classic import new_sealing as new_sealing
from agent.keys.classic import new_signing as new_signing
from agent.keys.hybrid import HybridSealingIdentity as HybridSealingIdentity
from agent.keys.hybrid import PostQuantumIdentity as PostQuantumIdentity
from agent.keys.hybrid import load_hybrid as load_hybrid
from agent.keys.hybrid import load_post_quantum as load_post_quantum
from agent.keys.hybrid import new_hybrid as new_hybrid
from agent.keys.hybrid import new_post_quantum as new_post_quantum
from agent.keys.rotation import next_key as next_key
from agent.keys.rotation import prepare_next as prepare_next
from agent.keys.rotation import promote as promote
from agent.keys.secret import Held as Held
from agent.keys.secret import Purpose as Purpose
