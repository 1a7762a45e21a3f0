"""Names for the synthetic district. Nobody is meant."""

from __future__ import annotations

import re
import unicodedata


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\S+", text))


GIVEN = _words("""
    Ada Aaliyah Adam Aisha Amara Amir Ana Andre Anh Anika Ariel Ava Ben Bianca Caleb Camila Carlos Chloe Clara Dalia Daniel Diego
    Elena Eli Elias Emma Esther Ethan Farah Felix Fiona Gabriel Grace Hana Hassan Helen Hugo Ian Imani Ines Isaac Ivy Jada
    Jamal Jin Jonah José Julia Kai Kenji Kira Lamar Layla Leo Liam Lina Lucía Luis Maeve Malik Mara Marcus Mateo Maya Mei Milo
    Mina Nadia Naomi Nia Noah Nora Olga Omar Oscar Paul Petra Priya Quinn Rafael Rania Ravi Rosa Ruth Sam Sana Sara Sofía Talia
    Theo Tomás Uma Vera Victor Wei Willa Xenia Yara Yusuf Zara Zoë
""")
FAMILY = _words("""
    Abbott Acosta Adeyemi Ahmed Alvarez Andersen Arroyo Baker Banerjee Barnes Becker Bell Berg Boateng Brooks Bui Campos Carter
    Chan Chavez Chen Clark Cohen Cole Cruz Dang Daniels Delgado Diaz Dubois Eriksen Esposito Evans Farouk Fischer Flores Ford
    Fuentes Garcia Gibson Gomez Grant Green Gupta Haddad Hall Hansen Harris Hernández Hill Hoang Hughes Ibrahim Ito Jackson Jensen
    Johnson Jones Kaplan Kaur Khan Kim Klein Kowalski Kumar Lam
    Larsen Lee Levy Lewis Li Lopez Martin Mendoza Meyer Miller Mitchell
    Molina Moore Morales Murphy Nakamura Nguyen Nowak O'Brien Okafor Olsen Ortiz Osei Park Patel Perez Petrov Pham Price Quintero
    Ramirez Reed Reyes Rivera Robinson Rossi Ruiz Salazar Sato Schmidt Shah Silva Singh Smith Stone Suárez Tanaka Taylor Thompson
    Torres Tran Turner Usman Vale Vargas Vega Walker Wang Ward Watson White Williams Wong Wright Yang Young Zhang Zimmermann
""")
STREETS = _words("Elm Oak Maple Cedar Pine Birch Walnut Juniper Mesa Canyon River Lake Hill Park Spring Mill Church School")
SCHOOL_NAMES = _words("""
    Lincoln Roosevelt Jefferson Washington Riverside Cedar-Hill Mesa-Verde Sunnyside Lakeview Oak-Grove Harriet-Tubman Maple-Ridge
    Franklin Rosa-Parks Pine-Valley Canyon-View Cesar-Chavez Willow-Creek Northgate Southfield Eastbrook Westmoor Hillcrest
""")


def plain(text: str) -> str:
    """Lower-case ASCII letters and digits, as in a user name."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in letters if letter.isalnum())
